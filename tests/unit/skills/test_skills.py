"""The skills are valid, and every `orchestrator` command in them is one that the command understands."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import yaml

from agentsession_core.api import Network
from agentsession_gateway.instructions import render_instructions
from agentsession_gateway.skill_format import problem_of
from agentsession_testing.orchestrator_lines import (
    commands_of,
    leaves,
    name_of,
    parse,
    shell_lines,
    spans,
)
from orchestrator_cli.app import cli

ROOT = Path(__file__).resolve().parents[3]
SKILLS = sorted((ROOT / "skills").iterdir())
# The format recommends less than 500 lines and 5,000 tokens; a skill's body is read as a whole.
BODY_LIMIT_BYTES = 4_000
DESCRIPTIONS_LIMIT_BYTES = 2_000
# About the command itself, and another name of `admin`.
NOT_TAUGHT = frozenset({"config", "version", "graph"})


def text_of(skill: Path) -> str:
    return (skill / "SKILL.md").read_text(encoding="utf-8")


def description_of(skill: Path) -> str:
    return str(yaml.safe_load(text_of(skill).split("---")[1])["description"])


def understand(line: str, *, name_is_enough: bool) -> None:
    for words in commands_of(line):
        parse(words, name_is_enough=name_is_enough)


def test_the_six_are_there() -> None:
    names = [skill.name for skill in SKILLS]
    assert names == ["admin", "deploy", "diagnose", "engineering", "infrastructure", "project"]


@pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)
def test_valid_and_short(skill: Path) -> None:
    assert problem_of(skill.name, text_of(skill)) is None
    assert len(text_of(skill).encode()) < BODY_LIMIT_BYTES
    assert re.search(r"\bUse when\b", description_of(skill)), "a description says when to use it"


def test_descriptions_are_short_together_and_differ() -> None:
    # They are in every request of every conversation.
    descriptions = [description_of(skill) for skill in SKILLS]
    assert len("".join(descriptions).encode()) < DESCRIPTIONS_LIMIT_BYTES
    assert len(set(descriptions)) == len(descriptions)


@pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)
def test_commands(skill: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "url.txt").write_text("x")
    lines = list(shell_lines(text_of(skill)))
    assert lines
    wrong = {}
    for line, name_is_enough in [
        *((line, False) for line in lines),
        *((span, True) for span in spans(text_of(skill))),
    ]:
        try:
            understand(line, name_is_enough=name_is_enough)
        except click.ClickException as error:
            wrong[line] = error.format_message()
    assert wrong == {}


@pytest.mark.parametrize(
    "line",
    [
        "orchestrator deploy start 42",
        "orchestrator deploy check",
        "orchestrator deploy check Todo-App",
        "orchestrator deploy logs 42 --tail 5",
        "orchestrator deploy logs 42 --lines 0",
        "orchestrator deploy",
        "orchestrator infra servers add web-2",
        "orchestrator nothing",
        "orchestrator deploy check 42 && orchestrator nothing",
    ],
)
def test_what_the_command_does_not_understand_is_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        understand(line, name_is_enough=False)


def test_every_command_is_taught() -> None:
    texts = "".join(text_of(skill) for skill in SKILLS)
    told = render_instructions(
        display_name=None, network=Network.NONE, has_platform=True, addition=""
    )
    lines = [*shell_lines(texts), *spans(texts), *spans(told)]
    known = {name_of(words) for line in lines for words in commands_of(line)}
    missing = {path for path in leaves(cli) if path[0] not in NOT_TAUGHT} - known
    assert missing == set()


def test_skills_that_are_named_exist() -> None:
    names = {skill.name for skill in SKILLS}
    for skill in SKILLS:
        named = set(re.findall(r"skills? `([\w-]+)`", text_of(skill)))
        assert named <= names - {skill.name}, skill.name
