"""docs/orchestrator.md is held to the routes, the scopes, the commands and the exit codes."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from fastapi.routing import APIRoute

from agentsession_testing.orchestrator_leaves import LEAVES, command_of
from agentsession_testing.orchestrator_lines import parse, words_of
from orchestrator_api.app import ROUTERS
from orchestrator_api.callers import Scope
from orchestrator_cli.app import COMMANDS, cli
from orchestrator_cli.errors import MEANINGS, Exit

GROUPS = {path[:length] for path in LEAVES for length in range(1, len(path))}
HELPS = {**LEAVES, **{path: command_of(path) for path in sorted(GROUPS)}}
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "orchestrator.md").read_text()


def section(title: str) -> str:
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert match, title
    return match.group(1)


def test_every_command_is_named_and_no_other() -> None:
    named: set[tuple[str, ...]] = set()
    for row in re.findall(r"^\| (`.*?) \| ", section("Commands"), re.MULTILINE):
        first, *rest = re.findall(r"`([a-z -]+)`", row)
        group, *sub = first.split()
        named.add((group, *sub))
        named |= {(group, name) for name in rest}
    named |= {("infra", "servers", name) for name in ("add", "remove")}
    assert named == set(LEAVES)


def test_every_route_is_named_and_no_other() -> None:
    named = set(re.findall(r"^\| `([A-Z]+ /[^`]+)` \|", section("The API"), re.MULTILINE))
    real = {
        f"{method} {route.path}"
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert named == real


def test_every_scope_is_explained() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ", section("Who calls"), re.MULTILINE)
    assert rows == [scope.value for scope in Scope]


def test_exit_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", section("Exit codes"), re.MULTILINE)
    assert {int(code): text.strip() for code, text in rows} == {
        int(code): meaning for code, meaning in MEANINGS.items()
    }
    assert set(MEANINGS) == set(Exit)


@pytest.mark.parametrize("path", HELPS, ids=" ".join)
def test_every_help_has_an_example_that_can_be_copied(path: tuple[str, ...]) -> None:
    command = HELPS[path]
    assert command.epilog is not None
    example = command.epilog.removeprefix("Example: ")
    assert example.startswith(f"orchestrator {' '.join(path)}")
    parse(words_of(example), name_is_enough=False)
    # As a terminal of 80 columns shows it: what is folded there is no line to copy.
    shown = command.get_help(click.Context(command, terminal_width=80))
    assert f"Example: {example}" in (line.strip() for line in shown.splitlines())
    assert "--json" in {option for parameter in command.params for option in parameter.opts}


def test_the_list_of_commands_says_what_the_commands_say() -> None:
    context = click.Context(cli)
    for name in COMMANDS:
        found = cli.get_command(context, name)
        assert found is not None
        assert found.name == name
