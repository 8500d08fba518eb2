"""The commands of `orchestrator` that do something, by their path."""

from __future__ import annotations

from collections.abc import Iterator

import click

from orchestrator_cli.app import cli


def leaves(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from leaves(found, (*path, name))


def command_of(path: tuple[str, ...]) -> click.Command:
    """The command, or the group of commands, of that path."""
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None, path
        command = found
    return command


LEAVES = dict(leaves(cli))
