"""What the bench reads: processes, memory, the audit log, a plain Job's output, a node's images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.bench.audit import (
    AuditLog,
    Call,
    counted,
    find_time,
    read_call,
    without_events,
    writes,
)
from workbench.bench.images import image_sizes
from workbench.bench.plain_job import COMMAND, plain_pod, read_output
from workbench.bench.processes import (
    Memory,
    first_start,
    read_memory,
    read_process,
    read_processes,
)

REST = "S 0 1 1 0 -1 4194560 2143 0 0 0 5 3 0 0 20 0 1 0 {start} 17264640 2899 18446744073709551615"


def stat(pid: int, name: str, start: int) -> str:
    return f"{pid} ({name}) {REST.format(start=start)}\n"


@pytest.mark.parametrize("name", ["python3", "a b", "x) S 1 (y"])
def test_a_process_started_so_many_ticks_after_boot(name: str) -> None:
    process = read_process(stat(7, name, 250), boot=1000.5, ticks=100)
    assert (process.pid, process.name, process.started_at) == (7, name, 1003.0)


@pytest.mark.parametrize("line", ["", "7 (cut", "7 (short) S 0 1"])
def test_what_is_no_stat_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no line of"):
        read_process(line, 0.0, 100)


def test_the_first_process_of_a_name_counts() -> None:
    lines = [stat(1, "python3", 100), stat(30, "claude", 300), stat(20, "claude", 200)]
    processes = read_processes(json.dumps({"boot": 0.0, "ticks": 100, "stats": lines}))
    assert first_start(processes, "claude") == 2.0
    assert first_start(processes, "codex") is None


STATUS = "Name:\t{name}\nUmask:\t0022\nVmRSS:\t   {size} kB\nThreads:\t1\n\n"


@pytest.mark.parametrize(
    ("cgroup", "working_set"),
    [
        ("CgroupUsage: 5000\nCgroupInactive: 1000\n", 4000),
        # Version 1: the cgroup's own and, in total_, with all below it.
        ("CgroupUsage: 5000\nCgroupInactive: 100\nCgroupInactive: 1500\n", 3500),
        ("", None),
        ("CgroupUsage: 5000\n", None),
    ],
)
def test_memory(cgroup: str, working_set: int | None) -> None:
    output = (
        STATUS.format(name="claude", size=300)
        + STATUS.format(name="claude", size=200)
        + STATUS.format(name="python3", size=20)
        + "Name:\tkthreadd\n\n"
        + cgroup
    )
    assert read_memory(output) == Memory({"claude": 307_200, "python3": 20_480}, working_set)


def entry(**changes: Any) -> str:
    base = {
        "stage": "ResponseComplete",
        "verb": "create",
        "user": {"username": "operator"},
        "objectRef": {"resource": "jobs", "namespace": "agents", "name": "a-r1"},
        "responseStatus": {"code": 201},
        "requestReceivedTimestamp": "2026-11-25T00:00:01.500000Z",
    }
    return json.dumps({**base, **changes}) + "\n"


def test_a_call_is_read() -> None:
    target = {"resource": "pods", "subresource": "binding", "namespace": "agents", "name": "a-x"}
    call = read_call(entry(objectRef=target))
    assert call is not None
    assert call.at == 1795564801.5
    assert (call.user, call.what, call.status) == ("operator", "create pods/binding", 201)


@pytest.mark.parametrize("line", ['{"stage": "Respo', entry(stage="ResponseStarted")])
def test_what_is_no_end_of_a_call_is_left_out(line: str) -> None:
    assert read_call(line) is None


def call(verb: str, resource: str, name: str, **changes: Any) -> Call:
    base: dict[str, Any] = {
        "at": 1.0,
        "user": "operator",
        "subresource": "",
        "namespace": "agents",
        "status": 200,
    }
    return Call(verb=verb, resource=resource, name=name, **{**base, **changes})


def test_writes_are_those_of_one_user_on_one_session() -> None:
    mine = [
        call("create", "jobs", "a-r1", at=3.0),
        call("patch", "agentsessions", "a", subresource="status", at=2.0),
        call("patch", "agentsessions", "a", subresource="status", status=409, at=4.0),
        call("create", "events", "a.17ab", at=5.0),
    ]
    others = [
        call("get", "agentsessions", "a"),
        call("patch", "agentsessions", "ab", subresource="status"),
        call("patch", "agentsessions", "a", subresource="status", user="gateway"),
        call("create", "jobs", "a-r1", namespace="elsewhere"),
    ]
    found = writes([*others, *mine], "operator", "agents", "a")
    assert found == sorted(mine, key=lambda c: c.at)
    assert len(without_events(found)) == 3
    assert counted(found) == {
        "create events": 1,
        "create jobs": 1,
        "patch agentsessions/status": 1,
        "patch agentsessions/status (HTTP 409)": 1,
    }


def test_the_first_successful_call_on_an_object_has_a_time() -> None:
    calls = [
        call("create", "pods", "a-r1-xyz", subresource="binding", at=2.0),
        call("create", "jobs", "a-r1", at=1.0, status=409),
        call("create", "jobs", "a-r1", at=1.5),
    ]
    assert find_time(calls, "create", "jobs", "a") == 1.5
    assert find_time(calls, "create", "pods/binding", "a") == 2.0
    assert find_time(calls, "create", "pods", "a") is None


def names(calls: list[Call]) -> list[str]:
    return [call.name for call in calls]


def named(name: str) -> str:
    return entry(objectRef={"resource": "jobs", "namespace": "agents", "name": name})


def test_the_log_is_read_from_a_mark_on_over_rotations(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    (tmp_path / "audit-2026-11-24T00-00-00.000.log").write_text(named("ancient"))
    file.write_text(named("before"))
    log = AuditLog(file)
    mark = log.mark()
    with file.open("a") as open_file:
        open_file.write(named("after"))
    assert names(log.since(mark)) == ["after"]
    file.rename(tmp_path / "audit-2026-11-25T00-00-00.000.log")
    file.write_text(named("rotated"))
    assert names(log.since(mark)) == ["after", "rotated"]


def test_a_plain_pod_is_the_runs_own_but_for_command_and_claim() -> None:
    run = {
        "serviceAccountName": "agentsession-runner",
        "containers": [{"name": "agent", "image": "i", "args": ["x"], "env": [{"name": "A"}]}],
        "volumes": [
            {"name": "workspace", "persistentVolumeClaim": {"claimName": "theirs"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    before = json.dumps(run)
    plain = plain_pod(run, "mine")
    assert json.dumps(run) == before
    assert plain == {
        "serviceAccountName": "agentsession-runner",
        "containers": [
            {"name": "agent", "image": "i", "command": list(COMMAND), "env": [{"name": "A"}]}
        ],
        "volumes": [
            {"name": "workspace", "persistentVolumeClaim": {"claimName": "mine"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }


@pytest.mark.parametrize("point", [".", ","])
def test_a_plain_jobs_output(point: str) -> None:
    clocks = json.dumps({"boot": 1000.0, "ticks": 100, "stat": stat(1, "python3", 2500)})
    assert read_output(f"1025{point}043210\n{clocks}\n") == (1025.0, 1025.04321)


def test_image_sizes_are_found_by_their_reference() -> None:
    images = {
        "agent": {"repository": "r/agent", "tag": "1"},
        "gone": {"repository": "r", "tag": "2"},
    }
    node = {"status": {"images": [{"names": ["r/agent@sha256:0", "r/agent:1"], "sizeBytes": 7}]}}
    assert image_sizes([node, {"status": {}}], images) == {"agent": 7}
