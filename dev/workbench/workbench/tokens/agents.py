"""A conversation with each of the three agents; answers the bodies of its model calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from agentsession_core.api import Network
from agentsession_dev.model_server.rules import parse_rules
from agentsession_dev.model_server.server import serve_in_thread
from agentsession_gateway.instructions import render_instructions
from agentsession_testing.claude_cli import agent_volume
from agentsession_testing.real_claude import running
from agentsession_testing.runner_gateway import turn, welcome
from agentsession_testing.serving import until
from orchestrator_cli.app import cli
from workbench.tokens.conversations import Conversation
from workbench.tokens.ground import Ground
from workbench.tokens.plain_agent import talk
from workbench.tokens.schemas import tool_call, tools_of
from workbench.tokens.scripts import command_line, rules_of, with_skills, with_tools
from workbench.tokens.skill_texts import Skills

TURN_SECONDS: Final = 300.0
Bodies = list[dict[str, Any]]
Agent = Callable[[Conversation, Ground, Skills], Coroutine[Any, Any, Bodies]]
SHELL_TOOL: Final = {
    "name": "Bash",
    "description": "Run a command in the shell and get its output.",
    "input_schema": {
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
    },
}
SKILL_TOOL: Final = {
    "name": "Skill",
    "description": "Get the text of a skill.",
    "input_schema": {
        "type": "object",
        "properties": {"skill": {"type": "string"}},
        "required": ["skill"],
    },
}


def instructions(*, has_platform: bool) -> str:
    """What every agent of the release is told; only one that has the command is told of it."""
    return render_instructions(
        display_name=None, network=Network.NONE, has_platform=has_platform, addition=""
    )


async def with_every_tool(conversation: Conversation, ground: Ground, _: Skills) -> Bodies:
    """A plain agent that carries every tool's schema in each request."""
    return await _with_tools(conversation, ground, instructions(has_platform=False))


async def with_tools_and_texts(
    conversation: Conversation, ground: Ground, skills: Skills
) -> Bodies:
    """The same, which also carries what the skills say: it knows as much as the others."""
    texts = "\n\n".join(text.strip() for text in skills.texts.values())
    system = f"{instructions(has_platform=False)}\n{texts}\n"
    return await _with_tools(conversation, ground, system)


async def _with_tools(conversation: Conversation, ground: Ground, system: str) -> Bodies:
    commands = {
        json.dumps(tool_call(cli, command)): command
        for each in conversation.turns
        for command in each.commands
    }

    def do(name: str, given: dict[str, Any]) -> str:
        said = ground.shell(command_line(commands[json.dumps((name, given))]))
        # A tool has no terminal to be read in: its JSON comes without spaces.
        return json.dumps(json.loads(said), ensure_ascii=False, separators=(",", ":"))

    return await _plainly(
        conversation, rules_of(conversation, with_tools(cli)), system, list(tools_of(cli)), do
    )


async def with_skills_alone(conversation: Conversation, ground: Ground, skills: Skills) -> Bodies:
    """The same plain agent with a shell, and skills that it loads when it needs them."""
    listed = "\n".join(f"- {name}: {said}" for name, said in skills.descriptions.items())

    def do(name: str, given: dict[str, Any]) -> str:
        if name == "Skill":
            return skills.texts[given["skill"]].strip()
        return ground.shell(given["command"])

    system = f"{instructions(has_platform=True)}\n# Skills\n\n{listed}\n"
    rules = rules_of(conversation, with_skills)
    return await _plainly(conversation, rules, system, [SHELL_TOOL, SKILL_TOOL], do)


def claude_code(binary: Path) -> Agent:
    """The product's agent: the runner with the real Claude Code."""

    async def agent(conversation: Conversation, ground: Ground, skills: Skills) -> Bodies:
        rules = parse_rules(rules_of(conversation, with_skills))
        environment = {**ground.environment, "AGENTSESSION_SKILLS": str(skills.folder)}
        given = welcome(instructions=instructions(has_platform=True))
        with serve_in_thread(rules=rules, any_key=True) as model, agent_volume() as volume:
            async with running(volume, binary, model, given, environment) as run:
                for number, each in enumerate(conversation.turns):
                    run.gateway.order(turn(f"t{number}", each.said, remaining_seconds=TURN_SECONDS))
                    results = run.gateway.results
                    await until(
                        lambda: len(results) == number + 1,  # noqa: B023 - awaited at once
                        f"the answer to {each.said!r}",
                        TURN_SECONDS,
                    )
            return _recorded(model, conversation, [result.text for _, result in results])

    return agent


async def _plainly(
    conversation: Conversation,
    rules: bytes,
    system: str,
    tools: Sequence[dict[str, Any]],
    do: Callable[[str, dict[str, Any]], str],
) -> Bodies:
    said = [each.said for each in conversation.turns]
    with serve_in_thread(rules=parse_rules(rules), any_key=True) as model:
        last = await asyncio.to_thread(talk, model, system, tools, said, do)
        return _recorded(model, conversation, [last])


def _recorded(model: str, conversation: Conversation, answers: Sequence[str]) -> Bodies:
    wanted = [each.answer for each in conversation.turns][-len(answers) :]
    if list(answers) != wanted:
        raise RuntimeError(f"the conversation went another way: {answers} instead of {wanted}")
    with httpx.Client(base_url=model, trust_env=False) as client:
        found = client.get("/_control/requests").raise_for_status().json()["requests"]
        paths = [f"/_control/requests/{item['sequence']}/body" for item in found]
        return [client.get(path).raise_for_status().json() for path in paths]
