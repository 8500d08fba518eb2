"""`orchestrator config`."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator_cli.configuration import SECRET_KEYS, Value, is_url, read_file, write_file
from orchestrator_cli.options import Settings, json_option, read_hidden, with_settings
from orchestrator_cli.output import say_json, say_table


@click.group(name="config", epilog="Example: orchestrator config show")
@json_option
def config() -> None:
    """Where the API is and who calls. The environment comes before the file."""


KEYS = click.Choice(["url", "token", "token-file", "user"])


@config.command(epilog="Example: orchestrator config show")
@json_option
@with_settings
def show(settings: Settings) -> None:
    """Show what is used and where it comes from; never the token."""
    found = settings.configuration
    values = {
        "url": found.url,
        "token": found.token,
        "token-file": found.token_file,
        "user": found.user,
    }
    if settings.as_json:
        say_json(
            {
                "file": str(found.path),
                **{
                    key: {"value": _shown(key, value), "source": value.source}
                    for key, value in values.items()
                },
            }
        )
        return
    say_table(
        f"Configuration ({found.path})",
        ("Key", "Value", "From"),
        ((key, _shown(key, value) or "-", value.source) for key, value in values.items()),
    )


@config.command(name="set", epilog="Example: orchestrator config set token < token.txt")
@click.argument("key", type=KEYS)
@click.argument("value", required=False)
@json_option
@with_settings
def set_(settings: Settings, key: str, value: str | None) -> None:
    """Keep a value in the file. A token is read from standard input; at a terminal it is asked for."""
    if key == "token":
        if value is not None:
            raise click.UsageError("a token on a command line is in everybody's list of processes")
        value = read_hidden("Token").strip()
    if not value:
        raise click.UsageError("there is no value")
    value = _kept(key, value)
    path = settings.configuration.path
    write_file(path, {**read_file(path), key: value})
    if settings.as_json:
        say_json({"key": key, "file": str(path), "set": True})
    else:
        click.echo(f"{key} is kept in {path}")


@config.command(epilog="Example: orchestrator config unset user")
@click.argument("key", type=KEYS)
@json_option
@with_settings
def unset(settings: Settings, key: str) -> None:
    """Forget a value of the file."""
    path = settings.configuration.path
    write_file(path, {name: text for name, text in read_file(path).items() if name != key})
    if settings.as_json:
        say_json({"key": key, "file": str(path), "set": False})
    else:
        click.echo(f"{key} is not in {path}")


def _kept(key: str, value: str) -> str:
    """The value as it holds wherever the command is called from. Raises click.UsageError."""
    if key == "url" and not is_url(value):
        raise click.UsageError(f"{value!r} is no URL: it begins with http:// or https://")
    return str(Path(value).expanduser().absolute()) if key == "token-file" else value


def _shown(key: str, value: Value) -> str:
    return "***" if key in SECRET_KEYS and value.text else value.text
