"""`orchestrator project`."""

from __future__ import annotations

from typing import Any

import click

from orchestrator_cli.chosen import Chosen, project_argument
from orchestrator_cli.errors import CommandError, Exit
from orchestrator_cli.options import (
    Settings,
    at_terminal,
    dry_run_option,
    json_option,
    key_option,
    limit_option,
    with_settings,
)
from orchestrator_cli.output import marked, moment, say_fields, say_json, say_table


@click.group(name="project", epilog="Example: orchestrator project list")
@json_option
def project() -> None:
    """Projects: what deployments and tasks belong to."""


@project.command(name="list", epilog="Example: orchestrator project list --json")
@limit_option
@json_option
@with_settings
def list_(settings: Settings, limit: int | None) -> None:
    """List your projects."""
    found = list(settings.api.pages("/v1/projects", limit))
    if settings.as_json:
        say_json(found)
        return
    user = found[0]["user_id"] if found else settings.api.get("/v1/tokens/self")["user_id"]
    say_table(
        f"Projects for user {user}",
        ("ID", "Name", "Status", "Last Updated"),
        (
            (str(item["id"]), item["name"], item["status"], moment(item["updated_at"]))
            for item in found
        ),
    )


@project.command(epilog="Example: orchestrator project get todo-app")
@project_argument
@json_option
@with_settings
def get(settings: Settings, project: Chosen) -> None:
    """Show a project."""
    _show(settings, settings.api.get(f"/v1/projects/{project.id}"))


@project.command(
    epilog="Example: orchestrator project create todo-app --description 'Things to do'"
)
@click.argument("name")
@click.option("--description", default="", help="What it is.")
@click.option("--repository-url", default="", metavar="URL", help="Where its source is.")
@key_option
@dry_run_option
@json_option
@with_settings
def create(
    settings: Settings,
    name: str,
    description: str,
    repository_url: str,
    key: str | None,
    dry_run: bool,
) -> None:
    """Make a project. One that is there already is shown, with `created` false."""
    body = {"name": name, "description": description, "repository_url": repository_url}
    try:
        made = settings.api.change(
            "POST",
            "/v1/projects",
            body,
            key=key,
            dry_run=dry_run,
        )
    except CommandError as error:
        if error.code != "project_exists":
            raise
        known = settings.api.get(f"/v1/projects/{error.details['project_id']}")
        _show(settings, {**known, "created": False})
        return
    _show(settings, marked({**made, "created": not dry_run}, dry_run=dry_run, ids=("id",)))


@project.command(
    epilog="Example: orchestrator project update todo-app --description 'Shared lists'"
)
@project_argument
@click.option("--name", help="A new name.")
@click.option("--description", help="What it is.")
@click.option("--repository-url", metavar="URL", help="Where its source is.")
@key_option
@dry_run_option
@json_option
@with_settings
def update(
    settings: Settings,
    project: Chosen,
    name: str | None,
    description: str | None,
    repository_url: str | None,
    key: str | None,
    dry_run: bool,
) -> None:
    """Change a project; what is not named stays."""
    wanted = {"name": name, "description": description, "repository_url": repository_url}
    body = {field: value for field, value in wanted.items() if value is not None}
    if not body:
        raise click.UsageError("say what to change: --name, --description or --repository-url")
    changed = settings.api.change(
        "PATCH",
        f"/v1/projects/{project.id}",
        body,
        key=key,
        dry_run=dry_run,
    )
    _show(settings, marked(changed, dry_run=dry_run))


@project.command(epilog="Example: orchestrator project status todo-app")
@project_argument
@json_option
@with_settings
def status(settings: Settings, project: Chosen) -> None:
    """Show where a project stands."""
    found = settings.api.get(f"/v1/projects/{project.id}/status")
    if settings.as_json:
        say_json(found)
        return
    newest = found["deployment"]
    say_fields(
        {
            "project": f"{found['project']['name']} ({project.id})",
            "status": found["status"],
            "deployment": newest and f"{newest['number']}: {newest['standing']}",
            "url": newest and newest["url"],
            "summary": found["project"]["summary"],
            "tasks": "; ".join(
                f"{item['id']} {item['standing']}" for item in found["unfinished_tasks"]
            ),
            "secrets": found["secrets"],
            "ports": found["ports"],
            "incidents": found["open_incidents"],
        }
    )


@project.command(epilog="Example: orchestrator project delete todo-app --yes")
@project_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@dry_run_option
@json_option
@with_settings
def delete(settings: Settings, project: Chosen, yes: bool, dry_run: bool) -> None:
    """Delete a project with all that it has. An agent's person is asked first."""
    if not dry_run:
        confirm(f"Delete project {project} with all that it has?", yes)
    settings.api.change(
        "DELETE",
        f"/v1/projects/{project.id}",
        dry_run=dry_run,
    )
    said = marked({"id": project.id, "deleted": not dry_run}, dry_run=dry_run)
    if settings.as_json:
        say_json(said)
    else:
        click.echo(f"project {project} {'would be' if dry_run else 'is'} deleted")


def confirm(question: str, yes: bool) -> None:
    """Asks at a terminal. Raises CommandError where there is none, and when the answer is no."""
    if yes:
        return
    if not at_terminal():
        raise CommandError(
            Exit.USAGE,
            "not_confirmed",
            "nothing was done: there is no terminal to ask at",
            hint="say --yes if you mean it",
        )
    if not click.confirm(question, err=True):
        raise CommandError(Exit.INTERRUPTED, "declined", "nothing was done: you said no")


def _show(settings: Settings, found: dict[str, Any]) -> None:
    if settings.as_json:
        say_json(found)
        return
    if found.get("dry_run"):
        click.echo("nothing was changed; this would come of it:", err=True)
    elif found.get("created") is False:
        click.echo("it is there already:", err=True)
    say_fields(
        {
            "id": found["id"],
            "name": found["name"],
            "status": found["status"],
            "description": found["description"],
            "repository": found["repository_url"],
            "summary": found["summary"],
            "created": moment(found["created_at"]),
            "updated": moment(found["updated_at"]),
        }
    )
