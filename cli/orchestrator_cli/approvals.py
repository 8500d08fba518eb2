"""`orchestrator approvals`."""

from __future__ import annotations

import json
from typing import Any

import click

from orchestrator_cli.options import (
    Settings,
    dry_run_option,
    json_option,
    limit_option,
    with_settings,
)
from orchestrator_cli.output import marked, moment, say_fields, say_json, say_table


@click.group(name="approvals", epilog="Example: orchestrator approvals list --pending")
@json_option
def approvals() -> None:
    """What agents ask you: each wish is bound to its exact arguments, for 15 minutes."""


@approvals.command(name="list", epilog="Example: orchestrator approvals list --pending")
@click.option("--pending", is_flag=True, help="Only what can be decided now.")
@limit_option
@json_option
@with_settings
def list_(settings: Settings, pending: bool, limit: int | None) -> None:
    """List what was asked, newest first."""
    found = list(settings.api.pages("/v1/approvals", limit, pending=pending or None))
    if settings.as_json:
        say_json(found)
        return
    say_table(
        "Approvals",
        ("ID", "State", "Until", "What"),
        (
            (item["id"], item["state"], moment(item["expires_at"]), item["summary"])
            for item in found
        ),
    )


approval_argument = click.argument("approval_id", metavar="APPROVAL")


@approvals.command(epilog="Example: orchestrator approvals get 0123456789ab")
@approval_argument
@json_option
@with_settings
def get(settings: Settings, approval_id: str) -> None:
    """Show a wish with its arguments."""
    _show(settings, settings.api.get(f"/v1/approvals/{_id(approval_id)}"))


@approvals.command(epilog="Example: orchestrator approvals approve 0123456789ab")
@approval_argument
@dry_run_option
@json_option
@with_settings
def approve(settings: Settings, approval_id: str, dry_run: bool) -> None:
    """Agree: the agent's very call works once."""
    _decide(settings, approval_id, "approve", dry_run=dry_run)


@approvals.command(epilog="Example: orchestrator approvals deny 0123456789ab")
@approval_argument
@dry_run_option
@json_option
@with_settings
def deny(settings: Settings, approval_id: str, dry_run: bool) -> None:
    """Refuse: the agent is told so, and does not ask again until it expires."""
    _decide(settings, approval_id, "deny", dry_run=dry_run)


def _decide(settings: Settings, approval_id: str, verb: str, *, dry_run: bool) -> None:
    path = f"/v1/approvals/{_id(approval_id)}/{verb}"
    found = settings.api.change("POST", path, dry_run=dry_run)
    if dry_run and not settings.as_json:
        click.echo("nothing was decided; this would come of it:", err=True)
    _show(settings, marked(found, dry_run=dry_run))


def _show(settings: Settings, found: dict[str, Any]) -> None:
    if settings.as_json:
        say_json(found)
        return
    say_fields(
        {
            "id": found["id"],
            "state": found["state"],
            "what": found["summary"],
            "command": found["operation"],
            "arguments": json.dumps(found["arguments"], ensure_ascii=False),
            "asked by": found["requested_by"],
            "until": moment(found["expires_at"]),
        }
    )


def _id(text: str) -> str:
    if not text.isalnum():
        raise click.UsageError(f"{text!r} is no approval's id")
    return text
