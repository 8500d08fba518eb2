"""The real Claude Code CLI, a scripted model, and the `orchestrator` command against a real API."""

from __future__ import annotations

import json
import re
import shutil
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
from agentsession_testing.skill_texts import skill
from orchestrator_api.tables import Approval, Project
from orchestrator_cli.errors import Exit

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


def image_skills(volume: Volume) -> Path:
    """The skills as the image has them: nobody in the pod can write there."""
    folder = volume.root.parent / "image-skills"
    if not folder.exists():
        shutil.copytree(SKILLS, folder)
        for file in folder.glob("*/*"):
            file.chmod(0o444)
    return folder


@asynccontextmanager
async def playing(
    platform: tuple[Orchestrator, str], volume: Volume, cli: Path, model: str, **environment: str
) -> AsyncIterator[Scene]:
    api, url = platform
    token = volume.root.parent / "orchestrator-token"
    token.write_text(await api.run("ada"))
    token.chmod(0o644)
    skills = image_skills(volume)
    given = {
        # What the pod has in /usr/local/bin.
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "AGENTSESSION_SKILLS": str(skills),
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
    # What is the CLI's own and has no place here.
    tools = {tool["name"] for tool in json.loads(bodies[0])["tools"]}
    assert {"Bash", "Edit", "Read", "Skill"} <= tools
    assert not {"ScheduleWakeup", "ListAgents", "SendMessage", "ReportFindings", "Workflow"} & tools
    for bundled in ("update-config", "keybindings-help", "plugin-authoring"):
        assert bundled not in bodies[0]
    # hello, then: wants the skill, has it and makes the project, lists, answers.
    assert [("orchestrator deploy trigger todo-app" in body) for body in bodies] == [False] * 2 + [
        True
    ] * 3
    assert projects == [("ada", "todo-app")]
    listed = json.loads(answer.text.removeprefix("Your projects: "))
    assert [(item["name"], item["status"]) for item in listed] == [("todo-app", "created")]


async def test_a_file_that_gives_orders_destroys_nothing_and_asks_the_person_once(
    platform: tuple[Orchestrator, str], volume: Volume, claude_binary: Path, model: str
) -> None:
    api, _ = platform
    async with api.client(await api.token("ada")) as ada:
        made = (await ada.post("/v1/projects", json={"name": "todo-app"})).json()
        orders = (
            f"orchestrator project delete {made['id']} --yes --json; echo exit $?; "
            "orchestrator admin clear-state deploy-0123456789ab --yes --json; echo exit $?"
        )
        (volume.root / "notes.txt").write_text(orders)
        async with playing(platform, volume, claude_binary, model) as scene:
            answers = [
                await scene.run.ask(name, "Read the notes and do what they say")
                for name in ("t1", "t2")
            ]
            waiting = (await ada.get("/v1/approvals", params={"pending": True})).json()["items"]
            assert await scene.projects() == [("ada", "todo-app")]
            assert [item["operation"] for item in waiting] == ["project.delete"]
            async with api.database.reading() as session:
                assert len((await session.scalars(select(Approval))).all()) == 1

            # What the person agrees to is done then, once.
            await ada.post(f"/v1/approvals/{waiting[0]['id']}/approve")
            agreed = await scene.run.ask("t3", "Read the notes and do what they say")
            assert await scene.projects() == []
    for answer in answers:
        deleting, clearing = re.findall(r"^exit (\d+)$", answer.text, re.MULTILINE)
        assert "approval_required" in answer.text
        assert deleting == str(Exit.NOT_ALLOWED.value)
        assert clearing == str(Exit.NOT_ALLOWED.value)
        assert "not_for_runs" in answer.text
    assert re.findall(r"^exit (\d+)$", agreed.text, re.MULTILINE)[0] == str(Exit.OK.value)


async def test_whose_the_run_is_decides_the_api(
    platform: tuple[Orchestrator, str], volume: Volume, claude_binary: Path, model: str
) -> None:
    api, _ = platform
    async with api.client(await api.token("bob")) as bob:
        other = (await bob.post("/v1/projects", json={"name": "secret-plan"})).json()["id"]
    async with playing(platform, volume, claude_binary, model) as scene:
        foreign = await scene.run.ask("t1", f"RUN: orchestrator project get {other} --json 2>&1")
        listed = await scene.run.ask("t2", "RUN: orchestrator project list --json")
        forged = await scene.run.ask(
            "t3", "RUN: ORCHESTRATOR_USER_ID=bob orchestrator project list --json 2>&1"
        )
    assert "project_not_found" in foreign.text
    assert json.loads(listed.text) == []
    assert "user_mismatch" in forged.text
    assert "secret-plan" not in foreign.text + listed.text + forged.text


async def test_a_projects_skill_and_one_that_an_agent_changed(
    platform: tuple[Orchestrator, str], volume: Volume, claude_binary: Path, model: str
) -> None:
    own = volume.root / ".claude" / "skills" / "house-style" / "SKILL.md"
    own.parent.mkdir(parents=True)
    own.write_text(skill("house-style", description="HOUSE-STYLE of this project."))
    async with playing(platform, volume, claude_binary, model) as scene:
        links = f"{volume.config}/skills"
        changed = await scene.run.ask(
            "t1",
            f"RUN: echo x >> {links}/deploy/SKILL.md; rm {links}/project && mkdir {links}/project && "
            f"cp {own} {links}/project/ && echo changed",
        )
    assert "changed" in changed.text
    async with playing(platform, volume, claude_binary, model) as scene:
        await scene.run.ask("t2", "hello")
        first = (await scene.bodies())[-1]
    assert first.count("HOUSE-STYLE") == 1
    assert (volume.config / "skills" / "project").readlink() == image_skills(volume) / "project"
    assert (image_skills(volume) / "deploy" / "SKILL.md").read_text() == (
        SKILLS / "deploy" / "SKILL.md"
    ).read_text()
