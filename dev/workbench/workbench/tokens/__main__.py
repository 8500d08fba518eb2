"""`python -m workbench.tokens`: has the conversations and prints the tables."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import bpe_openai
import click

from orchestrator_cli.app import cli
from workbench.bench.commit import commit_of
from workbench.commands import run
from workbench.tokens import plain_agents
from workbench.tokens.claude_agents import ClaudeCode, by_template
from workbench.tokens.conversations import CONVERSATIONS, Conversation
from workbench.tokens.counting import spent
from workbench.tokens.ground import Ground, new_ground
from workbench.tokens.recorded import Bodies
from workbench.tokens.report import KNOWING, PLAIN, SKILLS, TOOLS, Measured, tables
from workbench.tokens.schemas import tools_of
from workbench.tokens.skill_texts import Skills, read_skills

CLONE: Final = Path(__file__).resolve().parents[4]
PLATFORM_ONLY: Final = CLONE / "docs" / "examples" / "platform-only.yaml"
TOKENIZER: Final = "o200k_base"
Talk = Callable[[Conversation, Ground, Skills], Coroutine[Any, Any, Bodies]]


@click.command()
@click.option(
    "--claude",
    envvar="CLAUDE_BINARY",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The Claude Code binary.",
)
@click.option("--to", type=click.Path(path_type=Path), help="Keep the figures as JSON.")
def main(claude: Path, to: Path | None) -> None:
    """Counts the tokens of three conversations, with skills and with every tool in each request."""
    agents: dict[str, dict[str, Talk]] = {
        PLAIN: {
            TOOLS: plain_agents.with_every_tool,
            KNOWING: plain_agents.with_tools_and_texts,
            SKILLS: plain_agents.with_skills_and_command,
        },
        "Claude Code": _kinds(ClaudeCode(claude)),
        "Claude Code, platform only": _kinds(by_template(claude, PLATFORM_ONLY, own_tools="")),
    }
    measured = [
        asyncio.run(_measure(conversation, agent, kinds))
        for conversation in CONVERSATIONS
        for agent, kinds in agents.items()
    ]
    if to is not None:
        to.write_text(json.dumps([asdict(item) for item in measured], indent=2) + "\n")
    version = run([str(claude), "--version"]).strip()
    click.echo(f"Commit {commit_of(CLONE)}, {version}.\n")
    click.echo(tables(measured, TOKENIZER, len(list(tools_of(cli)))))


def _kinds(code: ClaudeCode) -> dict[str, Talk]:
    return {
        TOOLS: code.with_every_tool,
        KNOWING: code.with_tools_and_texts,
        SKILLS: code.with_skills_and_command,
    }


async def _measure(conversation: Conversation, agent: str, kinds: Mapping[str, Talk]) -> Measured:
    encode = bpe_openai.get_encoding(TOKENIZER).encode_ordinary
    skills = read_skills(CLONE / "skills")
    last = conversation.turns[-1].answer
    found = {}
    for kind, talk in kinds.items():
        with tempfile.TemporaryDirectory(prefix="tokens-") as folder:
            async with new_ground(Path(folder), conversation) as ground:
                bodies = await talk(conversation, ground, skills)
        found[kind] = spent(bodies, last, lambda text: len(encode(text)))
    return Measured(conversation.title, agent, found)


if __name__ == "__main__":
    main()
