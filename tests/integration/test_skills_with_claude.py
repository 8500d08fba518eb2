"""The real Claude Code CLI, a scripted model, and the `orchestrator` command against a real API."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import select

from agentsession_core.mailbox.store import MailboxStore
from agentsession_dev.model_server.rules import parse_rules
from agentsession_dev.model_server.server import serve_in_thread
from agentsession_testing.orchestrator import Orchestrator
from agentsession_testing.real_claude import Run, running
from agentsession_testing.runner_process import Volume
from orchestrator_api.tables import Project

pytestmark = [pytest.mark.claude, pytest.mark.timeout(180)]

SKILLS = Path(__file__).resolve().parents[2] / "skills"
NAMES = sorted(folder.name for folder in SKILLS.iterdir())


def shell(command: str) -> dict[str, Any]:
    return {"tool": "shell", "input": {"command": command, "description": "Run it"}}


RULES: dict[str, Any] = {
    "rules": [
        {
            "name": "deploy",
            "match": {"text": "^Deploy "},
            "steps": [
                {"tool": "Skill", "input": {"skill": "deploy"}},
                shell("orchestrator project create todo-app --json"),
                shell("orchestrator project list --json"),
                {"say": "Your projects: {{ tool_result }}"},
            ],
        },
        {
            "name": "obey",
            "match": {"text": "^Read the notes"},
            "steps": [
                shell("cat notes.txt"),
                shell("{{ tool_result }}"),
                {"say": "{{ tool_result }}"},
            ],
        },
        {
            "name": "run",
            "match": {"text": "^RUN: (?P<command>.*)"},
            "steps": [shell("{{ match.command }}"), {"say": "{{ tool_result }}"}],
        },
        {"name": "echo", "steps": [{"say": "Hello."}]},
    ]
}


@pytest.fixture
def model() -> Iterator[str]:
    with serve_in_thread(rules=parse_rules(json.dumps(RULES).encode()), any_key=True) as url:
        yield url


@dataclass
class Scene:
    """A run with its agent, and the API that it calls as Ada's run."""

    run: Run
    model: str
    api: Orchestrator

    async def bodies(self) -> list[str]:
        """The model calls so far, oldest first."""
        async with httpx.AsyncClient(base_url=self.model) as client:
            found = (await client.get("/_control/requests", params={"kind": "main"})).json()
            return [
                (await client.get(f"/_control/requests/{item['sequence']}/body")).text
                for item in found["requests"]
            ]

    async def projects(self) -> list[tuple[str, str]]:
        """Every project, as (user, name)."""
        async with self.api.database.reading() as session:
            rows = (await session.scalars(select(Project).order_by(Project.id))).all()
        return [(row.user_id, row.name) for row in rows]


@pytest.fixture
async def platform(
    orchestrator_on_sqlite: Orchestrator, store: MailboxStore
) -> AsyncIterator[tuple[Orchestrator, str]]:
    orchestrator_on_sqlite.store = store
    async with orchestrator_on_sqlite.served() as url:
        yield orchestrator_on_sqlite, url


@asynccontextmanager
async def playing(
    platform: tuple[Orchestrator, str], volume: Volume, cli: Path, model: str, **environment: str
) -> AsyncIterator[Scene]:
    api, url = platform
    token = volume.root.parent / "orchestrator-token"
    token.write_text(await api.run("ada"))
    token.chmod(0o644)
    given = {
        # What the pod has in /usr/local/bin.
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "AGENTSESSION_SKILLS": str(SKILLS),
        "ORCHESTRATOR_API_URL": url,
        "ORCHESTRATOR_API_TOKEN_FILE": str(token),
        **environment,
    }
    async with running(volume, cli, model, environment=given) as run:
        yield Scene(run, model, api)


async def test_descriptions_first_and_a_skill_when_it_is_needed(
    platform: tuple[Orchestrator, str], volume: Volume, claude_binary: Path, model: str
) -> None:
    async with playing(platform, volume, claude_binary, model) as scene:
        await scene.run.ask("t1", "hello")
        answer = await scene.run.ask("t2", "Deploy my todo-app")
        bodies = await scene.bodies()
        projects = await scene.projects()

    for name in NAMES:
        text = (SKILLS / name / "SKILL.md").read_text()
        _, front, body = text.split("---\n", 2)
        assert json.dumps(yaml.safe_load(front)["description"])[1:-1] in bodies[0], name
        first_command = next(line for line in body.splitlines() if line.startswith("orchestrator"))
        assert json.dumps(first_command)[1:-1] not in bodies[0], name
    # hello, then: wants the skill, has it and makes the project, lists, answers.
    assert [("orchestrator deploy trigger 42" in body) for body in bodies] == [False] * 2 + [
        True
    ] * 3
    assert projects == [("ada", "todo-app")]
    listed = json.loads(answer.text.removeprefix("Your projects: "))
    assert [(item["name"], item["status"]) for item in listed] == [("todo-app", "created")]
