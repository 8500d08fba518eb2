"""docs/kubectl-plugin.md is held to the commands, their options and the exit codes."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from kubectl_agents.app import cli
from kubectl_agents.errors import MEANINGS, Exit

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "kubectl-plugin.md").read_text()
COMMON = {"--namespace", "--context", "--kubeconfig", "--json"}


def section(title: str) -> str:
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert match, title
    return match.group(1)


def test_every_command_has_a_row() -> None:
    rows = re.findall(r"^\| `(\w+)(?: [^`]*)?` \|", section("Commands"), re.MULTILINE)
    assert sorted(rows) == sorted(cli.commands)


def test_every_option_is_named_and_every_named_option_is_there() -> None:
    named = set(re.findall(r"`(--[a-z-]+)", section("Options")))
    real = {
        option
        for command in (cli, *cli.commands.values())
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option.startswith("--")
    }
    assert named == real | {"--help"}


def test_exit_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", section("Exit codes"), re.MULTILINE)
    assert {int(code): text.strip() for code, text in rows} == {
        int(code): meaning for code, meaning in MEANINGS.items()
    }
    assert set(MEANINGS) == set(Exit)


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_has_an_example_and_kubectls_options(name: str) -> None:
    command = cli.commands[name]
    with click.Context(command, info_name=name) as context:
        text = command.get_help(context)
    assert "Example" in text
    assert f"kubectl agents {name}" in text
    options = {option for parameter in command.params for option in parameter.opts}
    assert options >= COMMON
