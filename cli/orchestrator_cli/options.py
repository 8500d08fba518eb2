"""The options that every command has, before the command or after it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestrator_cli.api import Api
from orchestrator_cli.configuration import OUTPUT, Configuration, load

if TYPE_CHECKING:
    import httpx

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Settings:
    """What the options say, and what follows from them."""

    as_json: bool = field(default_factory=lambda: os.environ.get(OUTPUT) == "json")
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    transport: httpx.BaseTransport | None = None
    _configuration: Configuration | None = field(default=None, repr=False)
    _api: Api | None = field(default=None, repr=False)

    @property
    def configuration(self) -> Configuration:
        """Where the API is and who calls. Raises CommandError."""
        if self._configuration is None:
            self._configuration = load(os.environ)
        return self._configuration

    @property
    def api(self) -> Api:
        """The API. Raises CommandError."""
        if self._api is None:
            self._api = Api(self.configuration, self.sleep, self.transport, self.clock)
        return self._api

    def close(self) -> None:
        """Closes what was opened."""
        if self._api is not None:
            self._api.close()


def at_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def read_hidden(name: str) -> str:
    """What stands on standard input; at a terminal one line, asked for by that name and not shown."""
    if not at_terminal():
        return sys.stdin.read()
    said: str = click.prompt(name, hide_input=True, err=True)
    return said


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    if value and parameter.name:
        setattr(context.ensure_object(Settings), parameter.name, value)
    return value


def json_option(command: F) -> F:
    """Adds `--json`."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        # First, so that what is wrong with the other options is said in JSON, too.
        is_eager=True,
        expose_value=False,
        callback=_keep,
        help="Answer with JSON, for programs.",
    )(command)


def key_option(command: F) -> F:
    """Adds `--idempotency-key`."""
    return click.option(
        "--idempotency-key",
        "key",
        metavar="KEY",
        help="Makes the command safe to run again: with the same key it is done once.",
    )(command)


def dry_run_option(command: F) -> F:
    """Adds `--dry-run`."""
    return click.option(
        "--dry-run", is_flag=True, help="Say what would come of it, and change nothing."
    )(command)


def limit_option(command: F) -> F:
    """Adds `--limit`."""
    return click.option(
        "--limit", type=click.IntRange(1, 10_000), help="Show so many at most; without it, all."
    )(command)


def with_settings(function: F) -> Callable[..., Any]:
    """Passes the Settings as the first argument."""

    @click.pass_context
    def call(context: click.Context, *args: Any, **kwargs: Any) -> Any:
        return context.invoke(function, context.ensure_object(Settings), *args, **kwargs)

    return update_wrapper(call, function)


@dataclass(frozen=True)
class Following:
    """Whether a task is followed (`follow`: its events are shown) or waited for, and for how long at most
    (seconds)."""

    follow: bool
    wait: bool
    timeout: float | None

    @property
    def until_the_end(self) -> bool:
        """Whether the command ends with the task."""
        return self.follow or self.wait


def follow_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--follow`, `--wait` and `--timeout`, passed as `following`."""

    def call(*args: Any, follow: bool, wait: bool, timeout: float | None, **kwargs: Any) -> Any:
        if timeout is not None and not (follow or wait):
            raise click.UsageError("--timeout needs --wait or --follow")
        if kwargs.get("after") and not (follow or wait):
            raise click.UsageError("--after needs --follow")
        return function(*args, following=Following(follow, wait, timeout), **kwargs)

    command: Callable[..., Any] = update_wrapper(call, function)
    for option in (
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="Give up following or waiting after so long; the task goes on.",
        ),
        click.option("--wait", is_flag=True, help="Wait until it has ended."),
        click.option(
            "--follow",
            is_flag=True,
            help="Show what happens until it has ended; NDJSON with --json.",
        ),
    ):
        command = option(command)
    return command


def after_option(command: F) -> F:
    """Adds `--after`."""
    return click.option(
        "--after",
        type=click.IntRange(0),
        default=0,
        metavar="EVENT",
        help="With --follow: go on after this event's number (`seq`).",
    )(command)
