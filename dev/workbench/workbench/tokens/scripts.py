"""What the scripted model does in a conversation: rules for the model server. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

import click

from workbench.tokens.conversations import Conversation, Turn
from workbench.tokens.schemas import tool_call

AND: Final = " && "
Steps = Callable[[Turn], list[dict[str, Any]]]


def rules_of(conversation: Conversation, steps: Steps) -> bytes:
    """A rules file with one rule for each turn."""
    rules = [
        {
            "name": f"turn {number}",
            "match": {"text": f"^\\s*{re.escape(turn.said)}\\s*$"},
            "steps": [*steps(turn), {"say": turn.answer}],
        }
        for number, turn in enumerate(conversation.turns, start=1)
    ]
    return json.dumps({"rules": rules}).encode()


def with_skills(turn: Turn) -> list[dict[str, Any]]:
    """Loads the skill if the turn needs one, then runs the commands in the shell."""
    skill = [{"tool": "Skill", "input": {"skill": turn.skill}}] if turn.skill else []
    return skill + [
        {"tool": "shell", "input": {"command": command_line(line)}} for line in turn.shell_lines
    ]


def with_tools(cli: click.Command, prefix: str = "") -> Steps:
    """Calls the tools that do the same as the commands; `prefix` stands before their names."""

    def steps(turn: Turn) -> list[dict[str, Any]]:
        calls = [tool_call(cli, command) for command in turn.commands]
        return [{"tool": prefix + name, "input": given} for name, given in calls]

    return steps


def command_line(line: str) -> str:
    """As an agent writes it."""
    return AND.join(f"orchestrator {command} --json" for command in line.split(AND))
