"""The tools of an agent that has one for each command: JSON schemas made from the command line. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

# What no tool needs: it is answered in JSON, asks nobody, follows nothing, and one call is one call.
LEFT_OUT: Final = frozenset({"--json", "--yes", "--idempotency-key", "--follow", "--help"})
# Not an agent's: its token may not use them, or they are about the command itself.
NOT_FOR_AGENTS: Final = frozenset(
    {
        *(
            ("admin",),
            ("graph",),
            ("approvals",),
            ("token",),
            ("config",),
            ("doctor",),
            ("version",),
        ),
        *(("infra", "servers", "add"), ("infra", "servers", "remove"), ("diagnose", "resolve")),
    }
)
TYPES: Final = {"integer": "integer", "float": "number", "boolean": "boolean"}


def tools_of(command: click.Command) -> Iterator[dict[str, Any]]:
    """The tools for all below a command, as the Messages API takes them."""
    for path, leaf in _leaves(command):
        parameters = {_name(item): item for item in leaf.params if not _is_left_out(item)}
        yield {
            "name": tool_name(path),
            "description": (leaf.help or "").partition("\n\n")[0].replace("\n", " "),
            "input_schema": {
                "type": "object",
                "properties": {name: _schema(item) for name, item in parameters.items()},
                "required": [name for name, item in parameters.items() if item.required],
            },
        }


def command_of(command: click.Command, tool: str, given: Mapping[str, Any]) -> list[str]:
    """The words of the command line that does what a tool is called for. Raises click.UsageError."""
    for path, leaf in _leaves(command):
        if tool_name(path) != tool:
            continue
        options, arguments = [], []
        for item in leaf.params:
            value = given.get(_name(item))
            if value is None or value is False:
                continue
            if isinstance(item, click.Argument):
                arguments.append(str(value))
            else:
                options += [item.opts[-1]] if value is True else [item.opts[-1], str(value)]
        return [*path, *options, "--", *arguments] if arguments else [*path, *options]
    raise click.UsageError(f"there is no tool {tool!r}")


def _leaves(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is not None and (*path, name) not in NOT_FOR_AGENTS:
            yield from _leaves(found, (*path, name))


def tool_name(path: tuple[str, ...]) -> str:
    """e.g. `infra_allocate_port`."""
    return "_".join(path).replace("-", "_")


def tool_call(command: click.Command, line: str) -> tuple[str, dict[str, Any]]:
    """The tool and its input that do what the command line does. Raises click.UsageError."""
    words = shlex.split(line)
    path: list[str] = []
    while isinstance(command, click.Group):
        context = click.Context(command)
        found = command.get_command(context, words[0])
        if found is None:
            raise click.UsageError(f"{words[0]!r} is no command")
        path.append(words.pop(0))
        command = found
    context = click.Context(command, resilient_parsing=True)
    values, _, _ = command.make_parser(context).parse_args(list(words))
    given = {
        _name(item): item.type_cast_value(context, values[item.name])
        for item in command.params
        if item.name in values and not _is_left_out(item)
    }
    return tool_name(tuple(path)), {key: _plain(value) for key, value in given.items() if value}


def _is_left_out(parameter: click.Parameter) -> bool:
    return bool(LEFT_OUT & set(parameter.opts))


def _name(parameter: click.Parameter) -> str:
    return (parameter.name or "").removesuffix("_")


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool) else str(value)


def _schema(parameter: click.Parameter) -> Mapping[str, Any]:
    kind: click.ParamType[Any] = parameter.type
    schema: dict[str, Any]
    if isinstance(kind, click.Choice):
        schema = {"type": "string", "enum": list(kind.choices)}
    elif isinstance(parameter, click.Option) and parameter.is_flag:
        schema = {"type": "boolean"}
    else:
        schema = {"type": TYPES.get(kind.name.removesuffix(" range"), "string")}
    said = parameter.help if isinstance(parameter, click.Option) else None
    return {**schema, "description": said} if said else schema
