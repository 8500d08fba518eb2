"""The `orchestrator` command as people and agents run it, against a served API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from agentsession_testing.orchestrator import Orchestrator
from orchestrator_cli.app import run

Command = Callable[..., Coroutine[Any, Any, "Said"]]


class Said:
    """What a command said, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document and nothing else."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error on standard error."""
        found = json.loads(self.err)
        assert found["ok"] is False
        error: dict[str, Any] = found["error"]
        assert error["exit_code"] == self.code
        return error


@pytest.fixture
async def url(orchestrator_on_sqlite: Orchestrator) -> AsyncIterator[str]:
    async with orchestrator_on_sqlite.served() as url:
        yield url


@pytest.fixture
async def command(
    url: str,
    orchestrator_on_sqlite: Orchestrator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Command:
    monkeypatch.setenv("ORCHESTRATOR_API_URL", url)
    monkeypatch.setenv("ORCHESTRATOR_API_TOKEN", await orchestrator_on_sqlite.token("ada"))
    monkeypatch.setenv("ORCHESTRATOR_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    async def call(*arguments: str) -> Said:
        code = await asyncio.to_thread(run, list(arguments))
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call
