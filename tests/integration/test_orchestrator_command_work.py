"""`orchestrator` and the things that projects have: ports, secrets, tasks, deployments, incidents."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentsession_testing.orchestrator import Orchestrator
from agentsession_testing.orchestrator_command import Command, command, url
from orchestrator_cli.errors import Exit

__all__ = ["command", "url"]


@pytest.fixture
async def project(command: Command) -> str:
    arguments = ("project", "create", "todo", "--repository-url", "https://git.example.com/x")
    return str((await command(*arguments, "--json")).json["id"])


@pytest.fixture
async def server(
    command: Command, orchestrator_on_sqlite: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as as_root:
        root = await orchestrator_on_sqlite.token("root", "admin", "read")
        as_root.setenv("ORCHESTRATOR_API_TOKEN", root)
        added = await command("infra", "servers", "add", "vps-1", "--host", "h", "--json")
        assert added.code == Exit.OK


@pytest.fixture
async def worker(orchestrator_on_sqlite: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    token = await orchestrator_on_sqlite.token("workers", "worker")
    async with orchestrator_on_sqlite.client(token) as client:
        yield client


async def report(worker: httpx.AsyncClient, task: str, **said: Any) -> None:
    body = {"worker": "worker-0", "message": "said", **said}
    answer = await worker.post(f"/v1/work/{task}/reports", json=body)
    assert answer.status_code == 200, answer.text


async def test_ports(command: Command, project: str, server: None) -> None:
    first = (await command("infra", "allocate", project, "--json")).json
    assert (first["port"], first["created"]) == (20_000, True)
    again = (await command("infra", "allocate", project, "--json")).json
    assert (again["id"], again["created"]) == (first["id"], False)
    own = await command("infra", "allocate-port", project, "20005", "--service", "db")
    assert "20005" in own.out
    taken = await command("infra", "allocate-port", project, "20005", "--service", "x", "--json")
    assert (taken.code, taken.error["code"]) == (Exit.CONFLICT, "port_taken")
    tried = await command("infra", "allocate", project, "--service", "x", "--dry-run", "--json")
    assert tried.json["dry_run"] is True
    assert len((await command("infra", "allocations", "--json")).json) == 2
    assert "vps-1" in (await command("infra", "list")).out
    assert (await command("infra", "servers", "--json")).json[0]["free_ports"] == 998
    asked = await command("infra", "release", str(first["id"]), "--json")
    assert (asked.code, asked.error["code"]) == (Exit.USAGE, "not_confirmed")
    assert (await command("infra", "release", str(first["id"]), "--yes")).code == Exit.OK
    denied = await command("infra", "servers", "remove", "vps-1", "--yes", "--json")
    assert (denied.code, denied.error["code"]) == (Exit.NOT_ALLOWED, "scope_missing")


async def test_secrets(
    command: Command, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("tr0ub4dor\n"))
    made = await command("secret", "set", project, "DATABASE_URL", "--json")
    assert made.json["version"] == 1
    value = tmp_path / "value"
    value.write_text("another")
    again = await command("secret", "set", project, "DATABASE_URL", "--from-file", str(value))
    assert "2" in again.out
    listed = await command("secret", "list", project)
    assert "DATABASE_URL" in listed.out
    assert "tr0ub4dor" not in made.out + again.out + listed.out
    assert (await command("secret", "unset", project, "DATABASE_URL", "--yes")).code == Exit.OK
    assert (await command("secret", "list", project, "--json")).json == []
    refused = await command("secret", "set", project, "../../x", "--from-file", str(value))
    assert refused.code == Exit.USAGE


async def test_a_queued_task_says_so(command: Command, project: str) -> None:
    made = await command("engineering", "trigger", project, "Add a list", "--json")
    assert (made.json["status"], made.json["worker"]) == ("queued", None)
    task = made.json["task_id"]
    assert "no worker has taken it" in (await command("engineering", "status", task)).out
    assert "waits in its" in (await command("task", "list")).out
    late = await command("task", "status", task, "--wait", "--timeout", "0.2", "--json")
    assert (late.code, late.error["code"]) == (Exit.TIMED_OUT, "not_ended")
    nothing = await command("engineering", "pr", task, "--json")
    assert (nothing.code, nothing.error["code"]) == (Exit.NOT_FOUND, "no_pull_request")
    assert (await command("task", "cancel", task, "--json")).json["status"] == "cancelled"
    ended = await command("task", "status", task, "--wait", "--json")
    assert ended.code == Exit.TASK_FAILED
    tried = await command("engineering", "analyze", "What does it take?", "--dry-run", "--json")
    assert tried.json["dry_run"] is True
    assert len((await command("task", "list", "--json")).json) == 1


async def test_following(command: Command, project: str, worker: httpx.AsyncClient) -> None:
    made = await command("engineering", "trigger", project, "Add a list", "--json")
    task = made.json["task_id"]
    following = asyncio.create_task(command("engineering", "status", task, "--follow", "--json"))
    await report(worker, task, state="running", message="began")
    await report(worker, task, kind="log", message="$ make test")
    await report(worker, task, state="succeeded", result={"pr": "https://x/1"})
    said = await following
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line.get("seq") for line in lines] == [1, 2, 3, 4, None]
    assert lines[-1]["task"]["state"] == "succeeded"
    assert said.code == Exit.OK
    assert (await command("engineering", "pr", task)).out == "https://x/1\n"


async def test_deployments(
    command: Command, project: str, server: None, worker: httpx.AsyncClient
) -> None:
    unready = await command("deploy", "check", project)
    name = (await command("project", "get", project, "--json")).json["name"]
    assert f"orchestrator infra allocate {name}" in unready.out
    await command("project", "create", "bare")
    bare = await command("deploy", "check", "bare")
    assert "orchestrator project update bare --repository-url" in bare.out
    refused = await command("deploy", "trigger", project, "--json")
    assert (refused.code, refused.error["code"]) == (Exit.CONFLICT, "not_deployable")
    assert refused.error["missing"]
    await command("infra", "allocate", project)
    made = (await command("deploy", "trigger", project, "--json")).json
    assert (made["status"], made["project_id"]) == ("queued", int(project))
    await report(worker, made["task_id"], state="running")
    await report(worker, made["task_id"], kind="log", message="pulled")
    await report(worker, made["task_id"], state="failed", message="no space left")
    ended = await command("deploy", "status", made["task_id"], "--wait")
    assert ended.code == Exit.TASK_FAILED
    logs = await command("deploy", "logs", project, "--lines", "2")
    assert "pulled" in logs.out
    assert "no space left" in logs.out
    assert "failed" in (await command("deploy", "list", project)).out
    assert "failed" in (await command("project", "status", project)).out
    nothing = await command("deploy", "rollback", project, "--yes", "--json")
    assert nothing.error["code"] == "nothing_to_roll_back_to"


async def test_incidents_and_knowledge(command: Command, project: str) -> None:
    opened = await command("escalate", "It does not start", "--project", project, "--json")
    assert opened.json["state"] == "open"
    listed = await command("diagnose", "incidents", "--open")
    assert "It does not start" in listed.out
    assert (await command("search", "nothing", "--json")).json == []
    assert "nothing has" in (await command("search", "nothing")).out
    health = (await command("diagnose", "health", "--json")).json
    assert health["parts"]["database"] == "ok"
    assert "database" in (await command("diagnose", "health")).out
    assert (await command("approvals", "list", "--json")).json == []
