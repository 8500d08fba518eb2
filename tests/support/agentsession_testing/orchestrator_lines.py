"""`orchestrator` commands in texts for agents, read as the command itself would read them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click

from orchestrator_cli.app import cli

JOINS = frozenset({"||", "&&", ";"})
CONTROL = JOINS | {"|", "<", ">", ">>"}


def shell_lines(text: str) -> Iterator[str]:
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from (line for line in block.splitlines() if line.strip())


def spans(text: str) -> Iterator[str]:
    yield from re.findall(
        r"`(orchestrator [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    )


def commands_of(line: str) -> Iterator[list[str]]:
    """The words of each command of a line, without `orchestrator`."""
    words = shlex.split(line)
    ends = [at for at, word in enumerate(words) if word in CONTROL]
    begins = [0, *(at + 1 for at in ends if words[at] in JOINS)]
    for begin in begins:
        assert words[begin] == "orchestrator", line
        yield words[begin + 1 : next((end for end in ends if end > begin), len(words))]


def words_of(line: str) -> list[str]:
    """Those of its first command."""
    return next(commands_of(line))


def parse(words: list[str], *, name_is_enough: bool) -> None:
    """Reads the command line as the command itself would, without carrying it out.

    Raises click.UsageError.
    """
    command: click.Command = cli
    context = cli.make_context("orchestrator", list(words))
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest:
            if name_is_enough or command.invoke_without_command:
                return
            raise click.UsageError(f"{context.command_path} needs a command")
        name, found, left = command.resolve_command(context, rest)
        assert found is not None
        command = found
        if name_is_enough and not left:
            return
        context = command.make_context(name, list(left), parent=context)


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The names of all commands that do something."""
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from leaves(found, (*path, name))


def name_of(words: list[str]) -> tuple[str, ...]:
    """The name of the command that a command line calls, as far as there is one."""
    command: click.Command = cli
    path: tuple[str, ...] = ()
    for word in words:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(click.Context(command), word)
        if found is None:
            break
        command, path = found, (*path, word)
    return path
