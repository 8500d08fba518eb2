"""The runner with the real Claude Code CLI and a scripted model: what the tests of both share."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentsession_core.wire import DrainOrder, Welcome
from agentsession_dev.model_server.rules import parse_rules
from agentsession_dev.model_server.server import serve_in_thread
from agentsession_testing.claude_cli import AGENT_UID, as_agent
from agentsession_testing.runner_gateway import RunnerGateway, running_gateway, turn, welcome
from agentsession_testing.runner_process import RunnerProcess, Volume, running_runner
from agentsession_testing.serving import until_true

DEADLINE_SECONDS = 60.0
RULES: dict[str, Any] = {
    "rules": [
        {
            "name": "run",
            "match": {"text": "^RUN: (?P<command>.*)"},
            "steps": [
                {
                    "say": "I run it.",
                    "tool": "shell",
                    "input": {"command": "{{ match.command }}", "description": "Run it"},
                },
                {"say": "It printed: {{ tool_result }}"},
            ],
        },
        {
            "name": "stall",
            "match": {"text": "^STALL"},
            "steps": [{"say": "some words that never end", "fail": {"stall_mid": 150}}],
        },
        {"name": "echo", "steps": [{"say": "{{ n_user_texts }}: {{ last_user_text }}"}]},
    ]
}


@pytest.fixture
def model() -> Iterator[str]:
    rules = parse_rules(json.dumps(RULES).encode())
    with serve_in_thread(rules=rules, any_key=True) as url:
        yield url


@dataclass
class Run:
    """A runner at work."""

    gateway: RunnerGateway
    runner: RunnerProcess

    @property
    def cli_pids(self) -> list[int]:
        """The CLI processes right below the runner."""
        pid = self.runner.process.pid
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]

    async def ask(self, name: str, *texts: str, **changes: Any) -> Any:
        """Give a turn and wait for its result."""
        self.gateway.order(turn(name, *texts, **changes))
        return await self.gateway.result_of(name)

    async def drain(self) -> None:
        """Drain the run and wait for its orderly end."""
        self.gateway.order(DrainOrder())
        assert await self.runner.exit_code() == 0, self.runner.said


@asynccontextmanager
async def running(
    volume: Volume,
    cli: Path,
    model: str,
    given: Welcome | None = None,
    environment: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> AsyncIterator[Run]:
    """A runner with its gateway; `prefix` is a command in front of it, run before the user changes."""
    before = (*prefix, *as_agent())
    async with (
        running_gateway(model_url=model, welcome=given or welcome()) as gateway,
        running_runner(gateway, volume, cli, prefix=before, environment=environment) as runner,
    ):
        await gateway.ready()
        yield Run(gateway, runner)


def small_disk(volume: Volume, megabytes: int, then: str = "true") -> tuple[str, ...]:
    """A command that gives the runner a small disk of its own, gone with its last process.

    `then` is shell that runs in the empty volume. Needs root.
    """
    options = f"size={megabytes}m,uid={AGENT_UID},gid={AGENT_UID},mode=755"
    script = (
        f"mount -t tmpfs -o {options} none {volume.root} && cd {volume.root} && {{ {then}; }} "
        '&& exec "$@"'
    )
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")


async def until(condition: Callable[[], object], what: str) -> None:
    await until_true(condition, what, DEADLINE_SECONDS)


async def last_body(model: str) -> str:
    """The newest request that the model server got for a turn."""
    async with httpx.AsyncClient(base_url=model) as client:
        found = (await client.get("/_control/requests", params={"kind": "main"})).json()
        sequence = found["requests"][-1]["sequence"]
        return (await client.get(f"/_control/requests/{sequence}/body")).text


async def fail(model: str, **what: Any) -> None:
    async with httpx.AsyncClient(base_url=model) as client:
        (await client.post("/_control/fail", json={"count": 10, "fail": what})).raise_for_status()


async def recover(model: str) -> None:
    async with httpx.AsyncClient(base_url=model) as client:
        (await client.delete("/_control/fail")).raise_for_status()
