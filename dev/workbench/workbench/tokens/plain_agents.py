"""The plain loop, with what each kind of it carries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from orchestrator_cli.app import cli
from workbench.tokens.conversations import Conversation
from workbench.tokens.ground import Ground
from workbench.tokens.plain_agent import CarryOut, talk
from workbench.tokens.recorded import Bodies, instructions, served
from workbench.tokens.schemas import command_of, tools_of
from workbench.tokens.scripts import rules_of, with_skills, with_tools
from workbench.tokens.skill_texts import Skills


def _tool(name: str, description: str, parameter: str) -> dict[str, Any]:
    properties = {parameter: {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": [parameter]}
    return {"name": name, "description": description, "input_schema": schema}


SHELL_TOOL: Final = _tool("Bash", "Run a command in the shell and get its output.", "command")
SKILL_TOOL: Final = _tool("Skill", "Get the text of a skill.", "skill")


async def with_every_tool(conversation: Conversation, ground: Ground, _: Skills) -> Bodies:
    """Every tool's schema in each request."""
    return await _with_tools(conversation, ground, instructions(has_platform=False))


async def with_tools_and_texts(
    conversation: Conversation, ground: Ground, skills: Skills
) -> Bodies:
    """The same, and what the skills say: it knows as much as one with skills."""
    system = f"{instructions(has_platform=False)}\n{skills.all_texts}\n"
    return await _with_tools(conversation, ground, system)


async def with_skills_and_command(
    conversation: Conversation, ground: Ground, skills: Skills
) -> Bodies:
    """A shell, and skills that are loaded when they are needed."""
    listed = "\n".join(f"- {name}: {said}" for name, said in skills.descriptions.items())

    def do(name: str, given: dict[str, Any]) -> str:
        if name == SKILL_TOOL["name"]:
            return skills.texts[given["skill"]].strip()
        # A command that is refused is an answer too.
        return ground.shell(f"{{ {given['command']}; }} 2>&1 || echo exit code $?")

    system = f"{instructions(has_platform=True)}\n# Skills\n\n{listed}\n"
    rules = rules_of(conversation, with_skills)
    return await _talk(conversation, rules, system, [SHELL_TOOL, SKILL_TOOL], do)


async def _with_tools(conversation: Conversation, ground: Ground, system: str) -> Bodies:
    def do(name: str, given: dict[str, Any]) -> str:
        return ground.command(["--json", *command_of(cli, name, given)])

    rules = rules_of(conversation, with_tools(cli))
    return await _talk(conversation, rules, system, list(tools_of(cli)), do)


async def _talk(
    conversation: Conversation,
    rules: bytes,
    system: str,
    tools: Sequence[dict[str, Any]],
    do: CarryOut,
) -> Bodies:
    said = [each.said for each in conversation.turns]
    with served(rules) as model:
        last = await asyncio.to_thread(talk, model.url, system, tools, said, do)
        return model.bodies(conversation, [last])
