"""`orchestrator infra servers`."""

from __future__ import annotations

from typing import Any

import click

from orchestrator_cli.options import Settings, dry_run_option, json_option, with_settings
from orchestrator_cli.output import marked, say_json, say_table
from orchestrator_cli.projects import confirm
from orchestrator_cli.tasks import segment


@click.group(
    name="servers",
    invoke_without_command=True,
    epilog="Example: orchestrator infra servers --json",
)
@json_option
@click.pass_context
def servers(context: click.Context) -> None:
    """List the servers; administrators add and remove them."""
    if context.invoked_subcommand is None:
        settings = context.ensure_object(Settings)
        found = settings.api.get("/v1/servers")["items"]
        if settings.as_json:
            say_json(found)
        else:
            say_servers(found)


@servers.command(epilog="Example: orchestrator infra servers add vps-1 --host vps-1.example.com")
@click.argument("name")
@click.option("--host", required=True, help="Its name or address.")
@click.option("--kind", type=click.Choice(["ssh", "kubernetes"]), default="ssh", show_default=True)
@click.option("--first-port", type=click.IntRange(1, 65_535), default=20_000, show_default=True)
@click.option("--last-port", type=click.IntRange(1, 65_535), default=20_999, show_default=True)
@dry_run_option
@json_option
@with_settings
def add(
    settings: Settings,
    name: str,
    host: str,
    kind: str,
    first_port: int,
    last_port: int,
    dry_run: bool,
) -> None:
    """Add a server, with the ports that projects may have."""
    body = {
        "name": name,
        "host": host,
        "kind": kind,
        "first_port": first_port,
        "last_port": last_port,
    }
    made = settings.api.change(
        "POST",
        "/v1/servers",
        body,
        dry_run=dry_run,
    )
    if settings.as_json:
        say_json(marked(made, dry_run=dry_run))
        return
    if dry_run:
        click.echo("nothing was added; this would be:", err=True)
    say_servers([made])


@servers.command(epilog="Example: orchestrator infra servers remove vps-1 --yes")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@dry_run_option
@json_option
@with_settings
def remove(settings: Settings, name: str, yes: bool, dry_run: bool) -> None:
    """Remove a server that no project has a port of."""
    if not dry_run:
        confirm(f"Remove server {name}?", yes)
    settings.api.change("DELETE", f"/v1/servers/{segment(name)}", dry_run=dry_run)
    if settings.as_json:
        say_json(marked({"name": name, "removed": not dry_run}, dry_run=dry_run))
    else:
        click.echo(f"server {name} {'would be' if dry_run else 'is'} removed")


def say_servers(found: list[dict[str, Any]]) -> None:
    """Servers for people."""
    say_table(
        "Servers",
        ("Name", "Kind", "Host", "Ports", "Free"),
        (
            (
                item["name"],
                item["kind"],
                item["host"],
                f"{item['first_port']}-{item['last_port']}",
                str(item["free_ports"]),
            )
            for item in found
        ),
    )
