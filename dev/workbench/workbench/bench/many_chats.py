"""A thousand chats at once on one bridge, beside the cluster: that could not take as many runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from workbench.bench.figures import Figure, Section, Statistic, Target, Unit
from workbench.console import WorkbenchError

CHATS: Final = 1000
TEST: Final = "tests/integration/test_bridge_chats.py"
SHOWN_OF_A_FAILURE: Final = 3000


def measure_many_chats(clone: Path, environment: Mapping[str, str]) -> Section:
    """Runs the test of many chats with a thousand. Raises WorkbenchError when it fails.

    `environment`: where the control plane's program is.
    """
    if not environment:
        raise WorkbenchError(
            "a thousand chats need an API server of their own: the local cluster's program",
            "make bench CLUSTER=local",
        )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", TEST],
            cwd=clone,
            env={**os.environ, **environment, "CHATS": str(CHATS), "FIGURES": str(file)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0 or not file.exists():
            raise WorkbenchError(
                f"{CHATS} chats were not all answered once",
                f"CHATS={CHATS} .venv/bin/python -m pytest {TEST}",
                done.stdout[-SHOWN_OF_A_FAILURE:],
            )
        return many_chats_section(json.loads(file.read_text()))


def many_chats_section(seen: Mapping[str, Any]) -> Section:
    """The figures of what the test has measured."""
    acknowledged, answered = seen["acknowledged_seconds"], seen["answered_seconds"]
    return Section(
        f"{seen['chats']} chats at once on one bridge",
        (
            Figure(
                "many-chats-acknowledged",
                "message → acknowledged",
                Unit.SECONDS,
                tuple(acknowledged),
                Target(1.0, Statistic.P95),
            ),
            Figure("many-chats-answered", "message → answer", Unit.SECONDS, tuple(answered)),
            _one("throughput", "answered", Unit.PER_SECOND, seen["answered_per_second"]),
            _one(
                "sessions",
                "until all sessions are made",
                Unit.SECONDS,
                seen["all_sessions_made_seconds"],
            ),
            _one("idle", "bridge, idle: resident", Unit.MEBIBYTES, seen["idle_mib"]),
            _one("peak", "bridge, at most: resident", Unit.MEBIBYTES, seen["peak_mib"]),
        ),
        (
            "All in one go, by people who have no session yet, on the machine that also runs the API "
            "server, Redis, the Telegram stand-in and the players of the agents. Everybody had "
            "exactly one answer.",
        ),
    )


def _one(key: str, title: str, unit: Unit, value: float) -> Figure:
    return Figure(f"many-chats-{key}", title, unit, (value,))
