from __future__ import annotations

import os
import time
from pathlib import Path

from sessionload.cost import _kind, calls_by_user, metric, usage
from sessionload.restart import _stamps
from workbench.bench.audit import Call


def test_a_process_uses_memory_and_time() -> None:
    before = usage(os.getpid())
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    after = usage(os.getpid())
    assert after.resident > 2**20
    assert 0.03 <= after.processor - before.processor < 5


def test_a_process_name_may_hold_anything(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "statm").write_text("900 25 8 1 0 70 0\n")
    numbers = " ".join(str(number) for number in range(4, 50))
    (tmp_path / "7" / "stat").write_text(f"7 (a) b 1 2 (c) S {numbers}\n")
    seen = usage(7, tmp_path)
    assert seen.resident == 25 * os.sysconf("SC_PAGE_SIZE")
    assert seen.processor == (14 + 15) / os.sysconf("SC_CLK_TCK")


def test_calls_are_counted_by_kind_for_one_user() -> None:
    def call(user: str, verb: str) -> Call:
        return Call(0, user, verb, "agentsessions", "", "agents", "anna", 200)

    calls = [call("a", "watch"), call("b", "get"), call("a", "patch"), call("a", "patch")]
    assert calls_by_user(calls, "a") == {"patch agentsessions": 2, "watch agentsessions": 1}


def test_custom_resources_are_known_by_their_plural() -> None:
    assert _kind("/registry/agentsession.dev/agentsessions/agents/anna") == "agentsessions"
    assert _kind("/registry/pods/agents/anna-r1-x") == "pods"


def test_a_metric_is_the_sum_of_its_series_and_of_no_other() -> None:
    text = '# HELP a b\na{x="1"} 2\na{x="2"} 3.5\na_total 100\nab 7\n'
    assert metric(text, "a") == 5.5
    assert metric(text, "missing") == 0


def test_the_operators_own_lines_say_when_it_was_done() -> None:
    log = "\n".join(
        (
            "not json",
            '"text"',
            '{"event": "ready", "at": "2026-11-25T05:00:01Z"}',
            '{"event": "reconciled", "at": "2026-11-25T05:00:03.5Z"}',
            '{"event": "reconciled", "at": "2026-11-25T05:10:00Z"}',
        )
    )
    found = _stamps(log)
    assert found["reconciled"] - found["ready"] == 2.5
