from __future__ import annotations

from pathlib import Path

import pytest

from workbench.bench.figures import judge
from workbench.bench.many_chats import many_chats_section, measure_many_chats
from workbench.console import WorkbenchError

SEEN = {
    "chats": 2,
    "answered_per_second": 40.0,
    "all_sessions_made_seconds": 0.05,
    "acknowledged_seconds": [0.5, 1.5],
    "answered_seconds": [0.6, 1.6],
    "idle_mib": 90.0,
    "peak_mib": 120.0,
}


def test_a_late_acknowledgement_is_said() -> None:
    section = many_chats_section(SEEN)
    verdicts = {figure.key: judge(figure) for figure in section.figures}
    told = verdicts.pop("many-chats-acknowledged")
    assert told is not None
    assert not told.met
    assert told.measured == pytest.approx(1.45)
    assert set(verdicts.values()) == {None}


def test_without_the_control_planes_program_it_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="API server"):
        measure_many_chats(tmp_path, {})


def test_a_chat_that_is_not_answered_fails(tmp_path: Path) -> None:
    test = tmp_path / "tests" / "integration" / "test_bridge_chats.py"
    test.parent.mkdir(parents=True)
    test.write_text("def test_nobody():\n    assert False\n")
    with pytest.raises(WorkbenchError, match="not all answered"):
        measure_many_chats(tmp_path, {"LOCALKUBE_BINARY": "/nowhere"})
