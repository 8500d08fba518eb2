"""The runner with the real Claude Code, with what each kind of agent carries."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from agentsession_core.api import AgentSessionTemplate
from agentsession_testing.claude_cli import agent_volume
from agentsession_testing.real_claude import running
from agentsession_testing.runner_gateway import turn, welcome
from agentsession_testing.serving import until
from orchestrator_cli.app import cli
from workbench.tokens import mcp_server
from workbench.tokens.conversations import Conversation
from workbench.tokens.ground import Ground
from workbench.tokens.recorded import Bodies, instructions, served
from workbench.tokens.scripts import rules_of, with_skills, with_tools
from workbench.tokens.skill_texts import Skills

TURN_SECONDS: Final = 300.0
TOOLS_OPTION: Final = "--tools"
# What the CLI sends of its own in each request where it shows the other tools by name.
OWN_TOOLS: Final = "Agent,Bash,Edit,Read,Skill,Write"


@dataclass(frozen=True)
class ClaudeCode:
    """Conversations with the CLI at `binary`.

    `args` and `environment` are a template's; `own_tools` are those of the CLI's own that an agent has
    beside all of the platform's.
    """

    binary: Path
    own_tools: str = OWN_TOOLS
    args: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    async def with_every_tool(
        self, conversation: Conversation, ground: Ground, _: Skills
    ) -> Bodies:
        """Every tool's schema in each request, by an MCP server."""
        return await self._with_tools(conversation, ground, instructions(has_platform=False))

    async def with_tools_and_texts(
        self, conversation: Conversation, ground: Ground, skills: Skills
    ) -> Bodies:
        """The same, and what the skills say among the instructions."""
        told = f"{instructions(has_platform=False)}\n{skills.all_texts}\n"
        return await self._with_tools(conversation, ground, told)

    async def with_skills_and_command(
        self, conversation: Conversation, ground: Ground, skills: Skills
    ) -> Bodies:
        """The product."""
        environment = {**ground.environment, "AGENTSESSION_SKILLS": str(skills.folder)}
        told = instructions(has_platform=True)
        rules = rules_of(conversation, with_skills)
        return await self._talk(conversation, rules, environment, instructions=told, args=self.args)

    async def _with_tools(self, conversation: Conversation, ground: Ground, told: str) -> Bodies:
        server = {
            "command": sys.executable,
            "args": ["-m", mcp_server.__name__],
            "env": {**ground.environment, "PYTHONPATH": ":".join(filter(None, sys.path))},
        }
        config = json.dumps({"mcpServers": {mcp_server.NAME: server}})
        # Else the CLI shows names alone, and a schema when the model asks for it; of its own tools it
        # then sends those that it would show by name, too, if it were not told which.
        environment = {"PATH": ground.environment["PATH"], "ENABLE_TOOL_SEARCH": "false"}
        rules = rules_of(conversation, with_tools(cli, mcp_server.PREFIX))
        return await self._talk(
            conversation,
            rules,
            environment,
            instructions=told,
            args=(
                *_without_tools(self.args),
                *(TOOLS_OPTION, self.own_tools),
                *("--mcp-config", config),
            ),
        )

    async def _talk(
        self,
        conversation: Conversation,
        rules: bytes,
        environment: Mapping[str, str],
        **given: Any,
    ) -> Bodies:
        with served(rules) as model, agent_volume() as volume:
            async with running(
                volume,
                self.binary,
                model.url,
                welcome(**given),
                {**environment, **self.environment},
            ) as run:
                results = run.gateway.results
                for number, each in enumerate(conversation.turns, start=1):
                    run.gateway.order(turn(f"t{number}", each.said, remaining_seconds=TURN_SECONDS))
                    await until(
                        lambda: len(results) == number,  # noqa: B023 - awaited at once
                        f"the answer to {each.said!r}",
                        TURN_SECONDS,
                    )
            return model.bodies(conversation, [result.text for _, result in results])


def by_template(binary: Path, file: Path, own_tools: str) -> ClaudeCode:
    """With the arguments and the environment of a template's file. Raises OSError, ValueError."""
    spec = AgentSessionTemplate.from_api(yaml.safe_load(file.read_text(encoding="utf-8"))).spec
    args = (spec.agent.args if spec.agent else None) or []
    variables = (spec.pod.env if spec.pod else None) or []
    return ClaudeCode(
        binary, own_tools, tuple(args), {item.name: item.value or "" for item in variables}
    )


def _without_tools(args: Sequence[str]) -> tuple[str, ...]:
    """Without which of the CLI's own tools a template wants; two such options would be added up."""
    if TOOLS_OPTION not in args:
        return tuple(args)
    at = args.index(TOOLS_OPTION)
    return (*args[:at], *args[at + 2 :])
