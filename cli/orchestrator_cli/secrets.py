"""`orchestrator secret`."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator_cli.chosen import Chosen, project_argument
from orchestrator_cli.errors import CommandError, Exit
from orchestrator_cli.options import (
    Settings,
    dry_run_option,
    json_option,
    read_hidden,
    with_settings,
)
from orchestrator_cli.output import marked, moment, say_fields, say_json, say_table
from orchestrator_cli.projects import confirm
from orchestrator_cli.tasks import segment


@click.group(name="secret", epilog="Example: orchestrator secret list todo-app")
@json_option
def secret() -> None:
    """Your projects' secrets: they go in and do not come out."""


@secret.command(
    name="set", epilog="Example: orchestrator secret set todo-app DATABASE_URL < url.txt"
)
@project_argument
@click.argument("name")
@click.option(
    "--from-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Where the value is; without it, standard input.",
)
@dry_run_option
@json_option
@with_settings
def set_(
    settings: Settings, project: Chosen, name: str, from_file: Path | None, dry_run: bool
) -> None:
    """Set a secret, from standard input or a file; one newline at its end is no part of it.

    At a terminal it is asked for, and not shown.
    """
    made = settings.api.change(
        "PUT",
        f"/v1/projects/{project.id}/secrets/{segment(name)}",
        {"value": _value(from_file)},
        dry_run=dry_run,
    )
    if settings.as_json:
        say_json(marked(made, dry_run=dry_run))
        return
    if dry_run:
        click.echo("nothing was set; this would be:", err=True)
    say_fields({"secret": made["name"], "version": made["version"]})


@secret.command(name="list", epilog="Example: orchestrator secret list todo-app")
@project_argument
@json_option
@with_settings
def list_(settings: Settings, project: Chosen) -> None:
    """List the names of a project's secrets."""
    found = settings.api.get(f"/v1/projects/{project.id}/secrets")["items"]
    if settings.as_json:
        say_json(found)
        return
    say_table(
        f"Secrets of project {project}",
        ("Name", "Version", "Set"),
        ((item["name"], str(item["version"]), moment(item["updated_at"])) for item in found),
    )


@secret.command(epilog="Example: orchestrator secret unset todo-app DATABASE_URL --yes")
@project_argument
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@dry_run_option
@json_option
@with_settings
def unset(settings: Settings, project: Chosen, name: str, yes: bool, dry_run: bool) -> None:
    """Remove a secret. An agent's person is asked first."""
    if not dry_run:
        confirm(f"Remove secret {name} of project {project}?", yes)
    settings.api.change(
        "DELETE",
        f"/v1/projects/{project.id}/secrets/{segment(name)}",
        dry_run=dry_run,
    )
    if settings.as_json:
        say_json(marked({"name": name, "removed": not dry_run}, dry_run=dry_run))
    else:
        click.echo(f"secret {name} {'would be' if dry_run else 'is'} removed")


def _value(from_file: Path | None) -> str:
    try:
        text = from_file.read_text(encoding="utf-8") if from_file else read_hidden("Value")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(
            Exit.USAGE, "value_unreadable", f"the value cannot be read: {error}"
        ) from None
    if not text.removesuffix("\n"):
        raise CommandError(
            Exit.USAGE,
            "value_empty",
            "there is no value",
            hint="orchestrator secret set PROJECT NAME < FILE, or --from-file FILE",
        )
    return text.removesuffix("\n")
