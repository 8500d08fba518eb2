"""The `orchestrator` command against a canned API."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentsession_testing.canned_orchestrator import CannedApi
from agentsession_testing.clock import Clock
from orchestrator_cli.app import run
from orchestrator_cli.options import Settings

Run = Callable[..., "Said"]


class Said:
    """What a command said, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def told(self, line: str) -> str:
        """All of it, as a golden file has it."""
        return f"$ orchestrator {line}\n{self.out}--- errors\n{self.err}--- exit {self.code}\n"

    @property
    def error(self) -> dict[str, Any]:
        """The error on standard error, which must be one JSON document and nothing else."""
        found: dict[str, Any] = json.loads(self.err)
        assert found["ok"] is False
        error: dict[str, Any] = found["error"]
        assert error["exit_code"] == self.code
        return error


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Runs a command line against a canned API, and answers what it said."""
    for name, value in {
        "ORCHESTRATOR_API_URL": "http://orchestrator",
        "ORCHESTRATOR_API_TOKEN": "orc_x",
        "ORCHESTRATOR_CONFIG": str(tmp_path / "config.json"),
        "ORCHESTRATOR_USER_ID": "",
        "ORCHESTRATOR_OUTPUT": "",
    }.items():
        monkeypatch.setenv(name, value)

    def go(line: str, api: CannedApi | None = None, stdin: str = "") -> Said:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        transport = None if api is None else httpx.MockTransport(api)
        clock = Clock()
        settings = Settings(sleep=clock.sleep, clock=clock, transport=transport)
        code = run(shlex.split(line), settings)
        said = capsys.readouterr()
        return Said(code, *(_same(text, tmp_path) for text in said))

    return go


def _same(text: str, folder: Path) -> str:
    return text.replace(str(folder), "FOLDER").replace(version("agentsession"), "VERSION")
