"""`orchestrator engineering`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from orchestrator_cli.chosen import Chosen, project_argument, project_option
from orchestrator_cli.errors import CommandError, Exit
from orchestrator_cli.options import (
    Following,
    Settings,
    after_option,
    dry_run_option,
    follow_options,
    json_option,
    key_option,
    with_settings,
)
from orchestrator_cli.output import marked, printable, say_json
from orchestrator_cli.tasks import say_task, segment, show_or_follow, task_argument


@click.group(
    name="engineering",
    epilog="Example: orchestrator engineering trigger todo-app 'Add shared lists'",
)
@json_option
def engineering() -> None:
    """Work on your projects' code, by engineering workers."""


@engineering.command(epilog="Example: orchestrator engineering analyze 'A list that two can share'")
@click.argument("request")
@project_option
@follow_options
@key_option
@dry_run_option
@json_option
@with_settings
def analyze(
    settings: Settings,
    request: str,
    project: Chosen | None,
    following: Following,
    key: str | None,
    dry_run: bool,
) -> int:
    """Have a wish analysed: what it takes, before anything is changed."""
    body = {"kind": "analysis", "request": request, "project_id": project and project.id}
    return begin(settings, body, key, following, dry_run=dry_run)


@engineering.command(epilog="Example: orchestrator engineering trigger todo-app 'Add shared lists'")
@project_argument
@click.argument("request")
@follow_options
@key_option
@dry_run_option
@json_option
@with_settings
def trigger(
    settings: Settings,
    project: Chosen,
    request: str,
    following: Following,
    key: str | None,
    dry_run: bool,
) -> int:
    """Have a project's code changed."""
    body = {"kind": "engineering", "request": request, "project_id": project and project.id}
    return begin(settings, body, key, following, dry_run=dry_run)


@engineering.command(epilog="Example: orchestrator engineering status engineering-0123456789ab")
@task_argument
@follow_options
@after_option
@json_option
@with_settings
def status(settings: Settings, task_id: str, following: Following, after: int) -> int:
    """Show how an engineering task stands."""
    return show_or_follow(settings, task_id, following, after)


@engineering.command(epilog="Example: orchestrator engineering pr engineering-0123456789ab")
@task_argument
@json_option
@with_settings
def pr(settings: Settings, task_id: str) -> None:
    """Show the pull request that an engineering task has opened."""
    found = settings.api.get(f"/v1/tasks/{segment(task_id)}")
    url = found["result"].get("pr")
    if not url:
        raise CommandError(
            Exit.NOT_FOUND,
            "no_pull_request",
            f"task {task_id} has opened no pull request: {found['standing']}",
            hint="orchestrator engineering status says how it stands",
        )
    if settings.as_json:
        say_json({"task_id": found["id"], "pr": url})
    else:
        click.echo(printable(url))


def begin(
    settings: Settings,
    body: Mapping[str, object],
    key: str | None,
    following: Following,
    *,
    dry_run: bool,
) -> int:
    """Begins a task, and follows it where that is wished for; the exit code. Raises CommandError."""
    made = settings.api.change(
        "POST",
        "/v1/tasks",
        body,
        key=key,
        dry_run=dry_run,
    )
    if following.until_the_end and not dry_run:
        return show_or_follow(settings, made["id"], following)
    if dry_run and not settings.as_json:
        click.echo("nothing was queued; this would be:", err=True)
    say_task(settings, marked(made, dry_run=dry_run, ids=("id",)))
    return Exit.OK
