"""Prometheus' own tool on the chart's alerts; PROMTOOL names it, else PATH has it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

RULES = Path(__file__).resolve().parents[3] / "charts/agentsession/monitoring/rules.yaml"


def promtool() -> str:
    """The program; skips the test where it is not."""
    program = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if not program:
        pytest.skip("PROMTOOL is not set: make test fetches it where there is apt-get")
    return program


def run_promtool(program: str, *arguments: str) -> str:
    """What it says; fails with that when it is not content."""
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said
