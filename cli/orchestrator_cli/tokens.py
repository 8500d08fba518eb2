"""`orchestrator token`."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import click

from orchestrator_cli.errors import CommandError, Exit
from orchestrator_cli.options import (
    Settings,
    dry_run_option,
    json_option,
    limit_option,
    with_settings,
)
from orchestrator_cli.output import marked, moment, say_fields, say_json, say_table
from orchestrator_cli.tasks import segment

SCOPES = ("read", "write", "approve", "tokens", "admin", "worker")


@click.group(name="token", epilog="Example: orchestrator token list")
@json_option
def token() -> None:
    """API tokens, for people and automation. An agent in its pod needs none."""


@token.command(name="list", epilog="Example: orchestrator token list")
@limit_option
@json_option
@with_settings
def list_(settings: Settings, limit: int | None) -> None:
    """List your tokens; what they are is shown once, when they are made."""
    found = list(settings.api.pages("/v1/tokens", limit))
    if settings.as_json:
        say_json(found)
        return
    say_table(
        "Tokens",
        ("ID", "Name", "Scopes", "Last used", "Until"),
        (
            (
                item["id"],
                item["name"],
                ", ".join(item["scopes"]),
                moment(item["last_used_at"]),
                "revoked" if item["revoked_at"] else moment(item["expires_at"]),
            )
            for item in found
        ),
    )


@token.command(epilog="Example: orchestrator token create ci --scope write --days 90 --to ci.token")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES))
@click.option("--days", type=click.IntRange(1, 3650), help="Days it is valid; else until revoked.")
@click.option("--user", help="Whose token it is; for administrators.")
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the token to this new file, for its owner alone, instead of showing it.",
)
@dry_run_option
@json_option
@with_settings
def create(
    settings: Settings,
    name: str,
    scopes: tuple[str, ...],
    days: int | None,
    user: str | None,
    to: Path | None,
    dry_run: bool,
) -> None:
    """Make a token. It can do no more than the one that it is made with."""
    target = None if to is None or dry_run else _opened(to)
    body = {"name": name, "scopes": sorted(set(scopes)), "days": days, "user_id": user}
    try:
        # Without an idempotency key: what was answered to one is kept, and this is never to be.
        made = settings.api.call(
            "POST",
            "/v1/tokens",
            query={"dry_run": dry_run or None},
            body={k: v for k, v in body.items() if v is not None},
        )
    except CommandError:
        if target is not None and to is not None:
            target.close()
            to.unlink()
        raise
    if target is not None:
        with target:
            target.write(made.pop("token") + "\n")
    if dry_run:
        # It was made up and kept nowhere: it would be taken for one that works.
        del made["token"]
    made = marked(made, dry_run=dry_run, ids=("id",))
    if settings.as_json:
        say_json(made)
        return
    if dry_run:
        click.echo("nothing was made; this would be:", err=True)
    until = moment(made["expires_at"]) if made["expires_at"] else "it is revoked"
    shown = {"id": made["id"], "user": made["user_id"], "until": until}
    where = {"token": made["token"]} if "token" in made else {"file": to and str(to)}
    say_fields(shown | where)


def _opened(path: Path) -> IO[str]:
    try:
        path.touch(mode=0o600, exist_ok=False)
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise CommandError(
            Exit.USAGE, "file_unusable", f"{path}: {error.strerror}", hint="name a new file"
        ) from None


@token.command(epilog="Example: orchestrator token revoke 0123456789ab")
@click.argument("token_id", metavar="TOKEN")
@click.option(
    "--keep-made",
    is_flag=True,
    help="Let the tokens be that were made with it: to change one token for another.",
)
@dry_run_option
@json_option
@with_settings
def revoke(settings: Settings, token_id: str, keep_made: bool, dry_run: bool) -> None:
    """Revoke a token, and those that were made with it: from now on they are refused."""
    path = f"/v1/tokens/{segment(token_id)}"
    found = settings.api.change("DELETE", path, dry_run=dry_run, keep_made=keep_made or None)
    # An API of an older release revokes the one, and says nothing.
    made = found["made_with_it"] if found else []
    if settings.as_json:
        said = {"id": token_id, "revoked": not dry_run, "made_with_it": made}
        say_json(marked(said, dry_run=dry_run))
    else:
        too = f", and what was made with it: {', '.join(made)}" if made else ""
        click.echo(f"token {token_id} {'would be' if dry_run else 'is'} revoked{too}")
