"""`orchestrator doctor` and `orchestrator version`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version as installed

import click

from orchestrator_cli.errors import CommandError, Exit
from orchestrator_cli.options import Settings, json_option, with_settings
from orchestrator_cli.output import say_json


@click.command(epilog="Example: orchestrator version --json")
@json_option
@with_settings
def version(settings: Settings) -> None:
    """Show this command's release."""
    if settings.as_json:
        say_json({"version": installed("agentsession")})
    else:
        click.echo(installed("agentsession"))


@click.command(epilog="Example: orchestrator doctor")
@json_option
@with_settings
def doctor(settings: Settings) -> int:
    """See whether this command can work here, step by step, and what to do where it cannot."""
    steps: tuple[tuple[str, Callable[[], str]], ...] = (
        (
            "url",
            lambda: (
                f"{settings.configuration.require_url()} (from {settings.configuration.url.source})"
            ),
        ),
        ("token", lambda: _token(settings)),
        ("api", lambda: _api(settings)),
        ("caller", lambda: _caller(settings)),
    )
    found: list[dict[str, object]] = []
    exit_code = Exit.OK
    for name, step in steps:
        try:
            found.append({"check": name, "ok": True, "found": step()})
        except CommandError as error:
            found.append({"check": name, "ok": False, **error.as_json()})
            exit_code = error.exit_code
            _say(settings, name, error)
            break
        if not settings.as_json:
            click.echo(f"✔ {name:<8}{found[-1]['found']}")
    if settings.as_json:
        say_json({"ok": exit_code is Exit.OK, "checks": found})
    return exit_code


def _say(settings: Settings, name: str, error: CommandError) -> None:
    if not settings.as_json:
        click.echo(f"✘ {name:<8}{error.message} ({error.code})\n          → {error.hint}")


def _token(settings: Settings) -> str:
    configuration = settings.configuration
    configuration.require_token()
    used = configuration.token if configuration.token.text else configuration.token_file
    return f"there is one (from {used.source})"


def _api(settings: Settings) -> str:
    release = settings.api.get("/v1/openapi.json")["info"]["version"]
    own = installed("agentsession")
    return f"release {release}" + ("" if release == own else f"; this command is of {own}")


def _caller(settings: Settings) -> str:
    who = settings.api.get("/v1/tokens/self")
    return f"user {who['user_id']}, by {who['kind']}, scopes {', '.join(who['scopes'])}"
