"""What Claude Code sends in each request, and when it summarizes: both cost tokens in every call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from agentsession_core.api import AgentSessionTemplate
from agentsession_core.wire import Skill, SkillFile
from agentsession_dev.model_server.rules import parse_rules
from agentsession_dev.model_server.server import serve_in_thread
from agentsession_testing.real_claude import last_body, running
from agentsession_testing.runner_gateway import welcome
from agentsession_testing.runner_process import Volume
from agentsession_testing.skill_texts import skill

pytestmark = [pytest.mark.claude, pytest.mark.timeout(180)]
PLATFORM_ONLY = Path(__file__).resolve().parents[2] / "docs" / "examples" / "platform-only.yaml"


def rules(used: int) -> bytes:
    """Every answer says that its request had so many tokens."""
    step = {"say": "Yes.", "usage": {"input_tokens": used}}
    return json.dumps({"rules": [{"name": "any", "steps": [step]}]}).encode()


async def purposes(model: str) -> list[str]:
    async with httpx.AsyncClient(base_url=model) as client:
        found = (await client.get("/_control/requests")).json()["requests"]
    return [request["purpose"] for request in found]


@pytest.mark.parametrize(
    ("used", "expected"),
    [(160_000, ["turn"] * 3), (170_000, ["turn", "turn", "compact", "turn"])],
)
async def test_a_long_conversation_is_summarized(
    volume: Volume, claude_binary: Path, used: int, expected: list[str]
) -> None:
    with serve_in_thread(rules=parse_rules(rules(used)), any_key=True) as model:
        async with running(volume, claude_binary, model) as run:
            # What came last is kept as it is, so there must be something before it.
            await run.ask("t1", "Remember the word lantern.")
            await run.ask("t2", "And nothing else.")
            answer = await run.ask("t3", "Do you?")
        assert await purposes(model) == expected
        assert "lantern" in await last_body(model)
    assert (answer.outcome, answer.text) == ("Succeeded", "Yes.")


async def test_two_conversations_have_the_same_beginning(
    volume: Volume, claude_binary: Path, model: str
) -> None:
    beginnings: list[Any] = []
    for text in ("hello", "another thing"):
        async with running(volume, claude_binary, model) as run:
            await run.ask("t1", text)
            body = await last_body(model)
        beginnings.append([json.loads(body)[part] for part in ("tools", "system")])
        assert "statusline-setup" not in body
        assert "- general-purpose:" in body
    assert beginnings[0] == beginnings[1]


async def test_an_agent_for_the_platform_only_carries_a_shell_and_skills(
    volume: Volume, claude_binary: Path, model: str
) -> None:
    spec = AgentSessionTemplate.from_api(yaml.safe_load(PLATFORM_ONLY.read_text())).spec
    assert spec.agent is not None
    assert spec.agent.args is not None
    assert spec.pod is not None
    assert spec.pod.env is not None
    variables = {item.name: item.value or "" for item in spec.pod.env}
    invoices = Skill(name="invoices", files=[SkillFile(path="SKILL.md", content=skill("invoices"))])
    given = welcome(args=spec.agent.args, instructions="Be brief.", skills=[invoices])
    async with running(volume, claude_binary, model, given, variables) as run:
        answer = await run.ask("t1", "RUN: echo works")
        body = json.loads(await last_body(model))
    assert answer.text == "It printed: works"
    assert {tool["name"] for tool in body["tools"]} == {"Bash", "Skill"}
    said = "".join(block["text"] for block in body["system"])
    assert spec.agent.args[-1] in said
    assert "# Memory" not in said
    assert "Be brief." in json.dumps(body["messages"])
    assert "- invoices:" in json.dumps(body["messages"])
