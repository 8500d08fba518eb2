"""Commands that need the API server alone, with the person's own rights."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import click

from kubectl_agents.options import Settings, common, session_argument, with_settings
from kubectl_agents.tables import render, rows, summary
from kubectl_agents.why import explain


def _now() -> datetime:
    return datetime.now(UTC)


def _answer(settings: Settings, body: Any, text: str) -> None:
    click.echo(json.dumps(body, indent=2, ensure_ascii=False) if settings.as_json else text)


@click.command(name="list")
@common
@with_settings
def list_sessions(settings: Settings) -> None:
    """List the sessions of a namespace.

    \b
    Examples:
      kubectl agents list -n agents
      kubectl agents list -n agents --json
    """
    found = settings.kubectl.sessions()
    if not found and not settings.as_json:
        click.echo(f"No sessions in namespace {settings.kubectl.namespace()}.", err=True)
        return
    _answer(settings, [summary(one) for one in found], render(rows(found, _now())))


@click.command()
@common
@session_argument
@with_settings
def why(settings: Settings, name: str) -> None:
    """Say in plain words what state a session is in, why, and what comes next.

    \b
    Example:
      kubectl agents why hello -n agents
    """
    session = settings.kubectl.session(name)
    told = explain(session, settings.kubectl.events(name), _now())
    _answer(settings, told.to_json(), told.text())


@click.command()
@common
@session_argument
@with_settings
def suspend(settings: Settings, name: str) -> None:
    """Put a session to sleep until `resume`: a running turn ends first, messages wait.

    It sets spec.operatingMode with your own rights.

    \b
    Example:
      kubectl agents suspend hello -n agents
    """
    settings.kubectl.patch(name, {"operatingMode": "Suspended"})
    _answer(
        settings,
        {"name": name, "operatingMode": "Suspended"},
        f"{name} goes to sleep when its running turn has ended; messages wait until "
        f"kubectl agents resume {name}",
    )


@click.command()
@common
@session_argument
@with_settings
def resume(settings: Settings, name: str) -> None:
    """Take `suspend` back: waiting messages wake the session.

    It sets spec.operatingMode with your own rights.

    \b
    Example:
      kubectl agents resume hello -n agents
    """
    settings.kubectl.patch(name, {"operatingMode": "Running"})
    _answer(
        settings,
        {"name": name, "operatingMode": "Running"},
        f"{name} wakes with its next message, or now if one waits",
    )


ALL: Final = (list_sessions, why, suspend, resume)
