"""`python -m workbench.tokens`: has the conversations and prints the tables."""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import bpe_openai
import click

from orchestrator_cli.app import cli
from workbench.bench.commit import commit_of
from workbench.commands import run
from workbench.tokens.agents import (
    claude_code,
    with_every_tool,
    with_skills_alone,
    with_tools_and_texts,
)
from workbench.tokens.conversations import CONVERSATIONS, Conversation
from workbench.tokens.counting import Spent, spent
from workbench.tokens.ground import new_ground
from workbench.tokens.report import CLAUDE, KNOWING, SKILLS, TOOLS, Measured, tables
from workbench.tokens.schemas import tools_of
from workbench.tokens.skill_texts import read_skills

CLONE = Path(__file__).resolve().parents[4]
TOKENIZER = "o200k_base"


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
    measured = [asyncio.run(_measure(each, claude)) for each in CONVERSATIONS]
    if to is not None:
        found = {m.title: {a: asdict(s) for a, s in m.by_agent.items()} for m in measured}
        to.write_text(json.dumps(found, indent=2) + "\n")
    version = run([str(claude), "--version"]).strip()
    click.echo(f"Commit {commit_of(CLONE)}, {version}.\n")
    click.echo(tables(measured, TOKENIZER, len(list(tools_of(cli)))))


async def _measure(conversation: Conversation, claude: Path) -> Measured:
    agents = {
        TOOLS: with_every_tool,
        KNOWING: with_tools_and_texts,
        SKILLS: with_skills_alone,
        CLAUDE: claude_code(claude),
    }
    skills = read_skills(CLONE / "skills")
    encode = bpe_openai.get_encoding(TOKENIZER).encode_ordinary
    found: dict[str, Spent] = {}
    for name, agent in agents.items():
        with tempfile.TemporaryDirectory(prefix="tokens-") as folder:
            async with new_ground(Path(folder), conversation) as ground:
                bodies = await agent(conversation, ground, skills)
        last = conversation.turns[-1].answer
        found[name] = spent(bodies, last, lambda text: len(encode(text)))
    return Measured(conversation.title, found)


if __name__ == "__main__":
    main()
