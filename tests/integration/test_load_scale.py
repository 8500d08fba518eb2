"""The load tool's own life: real control plane, operator, gateway and Redis, pods that kwok plays."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentsession_testing.api_server import cluster_program
from localcluster.procfs import all_processes

SESSIONS = 20
LIVES = 10
SECONDS = 300


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One small run, as `make bench-scale` makes it."""
    cluster_program()
    folder = tmp_path_factory.mktemp("load")
    sizes = ("--sessions", str(SESSIONS), "--lives", str(LIVES), "--idle-seconds", "5")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sessionload", "scale", *sizes, "--move", "lives"),
            *("--folder", str(folder / "scale")),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stderr[-4000:]}\n{done.stdout[-4000:]}"
    left = [process.name for process in all_processes() if _works_in(process.pid, folder)]
    assert left == [], "the run ends all that it started"
    found: dict[str, Any] = json.loads((folder / "scale.json").read_text())
    found["lives"] = [
        json.loads(line) for line in (folder / "scale" / "load.jsonl").read_text().splitlines()
    ]
    found["pods"] = [
        json.loads(line) for line in (folder / "scale" / "stand-in.jsonl").read_text().splitlines()
    ]
    return found


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(folder)
    except OSError:
        return False  # ended meanwhile, or the kernel's own


def test_every_session_lives_a_whole_life_on_a_played_node(report: dict[str, Any]) -> None:
    lives = [life for life in report["lives"] if life["pattern"] == "fill"]
    assert len(lives) == LIVES
    for life in lives:
        assert life["error"] == ""
        stamps = [life[key] for key in ("sent", "begun", "hello", "turn", "finished", "answered")]
        assert stamps == sorted(stamps)
        assert life["suspended"] >= life["answered"]


def test_every_pod_spoke_with_its_own_token_and_left_with_bye(report: dict[str, Any]) -> None:
    assert [pod["exit"] for pod in report["pods"]] == [0] * len(report["pods"])
    assert all("error" not in pod and pod["token"] <= pod["hello"] for pod in report["pods"])


def test_a_prompt_of_the_time_without_an_operator_is_answered(report: dict[str, Any]) -> None:
    woken = [life for life in report["lives"] if life["pattern"] == "restart"]
    assert len(woken) == 2, "once with those that have lived, once with all"
    assert [life["error"] for life in woken] == ["", ""]


def test_sessions_that_were_laid_down_need_no_word_of_the_operator(report: dict[str, Any]) -> None:
    (note,) = report["notes"][f"The operator killed and started again, {SESSIONS} sessions"]
    # Of one that has just fallen asleep something may still be left to say.
    assert re.search(r"had written [0-3] times", note), note


def test_lives_go_from_creation_to_deletion(report: dict[str, Any]) -> None:
    kinds = [life["kind"] for life in report["lives"] if life["pattern"] == "lives"]
    assert kinds.count("cold") == kinds.count("resumed") == 5
    writes = report["figures"]["lives.writes"]["values"]
    # Volume claim, two Jobs, a status for each run, deletion by its owner: fewer would be lost ones.
    assert len(writes) == 5
    assert min(writes) >= 5


def test_idle_sessions_cause_no_request(report: dict[str, Any]) -> None:
    figures = report["figures"]
    assert figures[f"idle.calls.{SESSIONS}"]["values"] == [0]
    assert report["unmeasured"] == []
