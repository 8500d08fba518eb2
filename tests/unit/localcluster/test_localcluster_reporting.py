"""What people see: durations, errors, logs."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from agentsession_testing.clock import Clock
from localcluster.commands import run
from localcluster.console import Reporter, elapsed
from localcluster.errors import ClusterError, last_lines
from localcluster.health import dns_query, node_is_ready
from localcluster.waiting import wait_for


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4s"), (12.4, "12s"), (59.9, "60s"), (238.0, "3m58s")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert elapsed(seconds) == text


def test_an_error_shows_cause_log_and_next_step(tmp_path: Path) -> None:
    log = tmp_path / "etcd.log"
    log.write_text("".join(f"line {number}\n" for number in range(40)))
    console = Console(record=True, width=200, file=io.StringIO())

    Reporter(console).error(ClusterError("etcd is down", next_step="do this", log=log))

    text = console.export_text()
    assert "✘ etcd is down" in text
    assert "line 39" in text
    assert "line 24" not in text
    assert text.rstrip().endswith("→ do this")


def test_a_missing_log_has_no_lines(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "none") == []


def test_a_condition_that_comes_in_time_is_waited_for() -> None:
    clock = Clock()

    wait_for("it", lambda: clock.now >= 3, seconds=5, clock=clock, sleep=clock.sleep)

    assert 3 <= clock.now < 4


def test_a_deadline_names_what_was_waited_for() -> None:
    clock = Clock()

    with pytest.raises(ClusterError, match="the node is ready: not within 5 s"):
        wait_for("the node is ready", lambda: False, seconds=5, clock=clock, sleep=clock.sleep)


def test_an_ended_process_ends_the_wait_at_once() -> None:
    clock = Clock()

    with pytest.raises(ClusterError, match="the process ended"):
        wait_for(
            "ready",
            lambda: False,
            seconds=60,
            still_possible=lambda: False,
            clock=clock,
            sleep=clock.sleep,
        )

    assert clock.now == 0


def test_a_failed_command_names_its_last_error_line() -> None:
    with pytest.raises(ClusterError, match="ended with 3: no luck"):
        run(["sh", "-c", "echo no luck >&2; exit 3"], next_step="try again")


def test_a_missing_command_says_so() -> None:
    with pytest.raises(ClusterError, match="no-such-program is not installed"):
        run(["no-such-program"], next_step="install it")


def test_output_goes_to_the_log_when_there_is_one(tmp_path: Path) -> None:
    log = tmp_path / "log" / "x.log"

    with pytest.raises(ClusterError) as raised:
        run(["sh", "-c", "echo why; exit 1"], next_step="read it", log=log)

    assert raised.value.log == log
    assert log.read_text() == "why\n"


def test_the_dns_query_is_well_formed() -> None:
    packet = dns_query("a.bc")

    assert packet[4:12] == b"\x00\x01\x00\x00\x00\x00\x00\x00"
    assert packet[12:] == b"\x01a\x02bc\x00\x00\x01\x00\x01"


@pytest.mark.parametrize(("status", "ready"), [("True", True), ("Unknown", False)])
def test_the_node_is_ready_when_it_says_so(status: str, ready: bool) -> None:
    node = {"status": {"conditions": [{"type": "Ready", "status": status}]}}

    assert node_is_ready(node) is ready
    assert not node_is_ready({})
