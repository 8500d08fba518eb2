"""`orchestrator infra`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from orchestrator_cli.chosen import Chosen, project_argument
from orchestrator_cli.options import (
    Settings,
    dry_run_option,
    json_option,
    key_option,
    limit_option,
    with_settings,
)
from orchestrator_cli.output import marked, say_fields, say_json, say_table
from orchestrator_cli.projects import confirm
from orchestrator_cli.servers import say_servers, servers


@click.group(name="infra", epilog="Example: orchestrator infra list")
@json_option
def infra() -> None:
    """Servers, and the ports of them that your projects have."""


infra.add_command(servers)


@infra.command(name="list", epilog="Example: orchestrator infra list")
@json_option
@with_settings
def list_(settings: Settings) -> None:
    """List the servers and your ports on them."""
    servers = settings.api.get("/v1/servers")["items"]
    ports = list(settings.api.pages("/v1/allocations"))
    if settings.as_json:
        say_json({"servers": servers, "allocations": ports})
        return
    say_servers(servers)
    _say_ports(ports)


@infra.command(epilog="Example: orchestrator infra allocations")
@limit_option
@json_option
@with_settings
def allocations(settings: Settings, limit: int | None) -> None:
    """List the ports of your projects."""
    found = list(settings.api.pages("/v1/allocations", limit))
    if settings.as_json:
        say_json(found)
    else:
        _say_ports(found)


@infra.command(epilog="Example: orchestrator infra allocate todo-app --service web")
@project_argument
@click.option("--service", default="web", show_default=True, help="What has the port.")
@click.option("--server", help="The server; without it, that with the most free ports.")
@key_option
@dry_run_option
@json_option
@with_settings
def allocate(
    settings: Settings,
    project: Chosen,
    service: str,
    server: str | None,
    key: str | None,
    dry_run: bool,
) -> None:
    """Have a place on a server: its lowest free port. One that is there already is shown."""
    _allocate(settings, project, {"service": service, "server": server}, key, dry_run)


@infra.command(epilog="Example: orchestrator infra allocate-port todo-app 20007 --server vps-1")
@project_argument
@click.argument("port", type=click.IntRange(1, 65_535))
@click.option("--service", default="web", show_default=True, help="What has the port.")
@click.option("--server", help="The server; without it, that with the most free ports.")
@key_option
@dry_run_option
@json_option
@with_settings
def allocate_port(
    settings: Settings,
    project: Chosen,
    port: int,
    service: str,
    server: str | None,
    key: str | None,
    dry_run: bool,
) -> None:
    """Have a certain port."""
    body = {"service": service, "server": server, "port": port}
    _allocate(settings, project, body, key, dry_run)


@infra.command(epilog="Example: orchestrator infra release 7 --yes")
@click.argument("allocation_id", metavar="ALLOCATION", type=click.IntRange(1))
@click.option("--yes", is_flag=True, help="Do not ask.")
@dry_run_option
@json_option
@with_settings
def release(settings: Settings, allocation_id: int, yes: bool, dry_run: bool) -> None:
    """Give a port back. An agent's person is asked first."""
    if not dry_run:
        confirm(f"Release allocation {allocation_id}?", yes)
    settings.api.change(
        "DELETE",
        f"/v1/allocations/{allocation_id}",
        dry_run=dry_run,
    )
    if settings.as_json:
        say_json(marked({"id": allocation_id, "released": not dry_run}, dry_run=dry_run))
    else:
        click.echo(f"allocation {allocation_id} {'would be' if dry_run else 'is'} released")


def _allocate(
    settings: Settings,
    project: Chosen,
    body: Mapping[str, object],
    key: str | None,
    dry_run: bool,
) -> None:
    made = settings.api.change(
        "POST",
        f"/v1/projects/{project.id}/allocations",
        body,
        key=key,
        dry_run=dry_run,
    )
    there = made["created"] is False
    made = marked(made, dry_run=dry_run, ids=() if there else ("id",))
    if settings.as_json:
        say_json({**made, "created": made["created"] and not dry_run})
        return
    if there:
        click.echo("it is there already:", err=True)
    elif dry_run:
        click.echo("nothing was taken; this would be:", err=True)
    say_fields(
        {
            "allocation": made["id"],
            "server": made["server"],
            "host": made["host"],
            "port": made["port"],
            "service": made["service"],
        }
    )


def _say_ports(found: list[dict[str, Any]]) -> None:
    say_table(
        "Allocations",
        ("ID", "Project", "Service", "Server", "Port"),
        (
            (
                str(item["id"]),
                str(item["project_id"]),
                item["service"],
                item["server"],
                str(item["port"]),
            )
            for item in found
        ),
    )
