"""`orchestrator deploy`."""

from __future__ import annotations

from typing import Any

import click

from orchestrator_cli.chosen import Chosen, project_argument
from orchestrator_cli.errors import CommandError, Exit
from orchestrator_cli.options import (
    Following,
    Settings,
    after_option,
    dry_run_option,
    follow_options,
    json_option,
    key_option,
    limit_option,
    with_settings,
)
from orchestrator_cli.output import marked, moment, say_fields, say_json, say_lines, say_table
from orchestrator_cli.projects import confirm
from orchestrator_cli.tasks import show_or_follow, task_argument


@click.group(name="deploy", epilog="Example: orchestrator deploy check todo-app")
@json_option
def deploy() -> None:
    """Deployments of your projects."""


@deploy.command(epilog="Example: orchestrator deploy check todo-app")
@project_argument
@click.option("--image", help="The image to deploy; without it, the project's repository.")
@json_option
@with_settings
def check(settings: Settings, project: Chosen, image: str | None) -> None:
    """See whether a project can be deployed, and what to do where it cannot."""
    found = settings.api.get(f"/v1/projects/{project.id}/deployments/check", image=image)
    if settings.as_json:
        say_json(found)
        return
    say_fields(
        {
            "ready": "yes" if found["ready"] else "no",
            "missing": "; ".join(found["missing"]),
            "running": found["running_task"],
            "secrets": ", ".join(found["secrets"]),
            "ports": found["ports"],
        }
    )


@deploy.command(epilog="Example: orchestrator deploy trigger todo-app --wait --timeout 600")
@project_argument
@click.option("--image", help="The image to deploy; without it, the project's repository.")
@follow_options
@key_option
@dry_run_option
@json_option
@with_settings
def trigger(
    settings: Settings,
    project: Chosen,
    image: str | None,
    following: Following,
    key: str | None,
    dry_run: bool,
) -> int:
    """Deploy a project."""
    made = settings.api.change(
        "POST",
        f"/v1/projects/{project.id}/deployments",
        {"image": image or None},
        key=key,
        dry_run=dry_run,
    )
    return _begun(settings, made, following, dry_run=dry_run)


@deploy.command(epilog="Example: orchestrator deploy rollback todo-app --yes")
@project_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@follow_options
@key_option
@dry_run_option
@json_option
@with_settings
def rollback(
    settings: Settings,
    project: Chosen,
    yes: bool,
    following: Following,
    key: str | None,
    dry_run: bool,
) -> int:
    """Deploy what ran before. An agent's person is asked first."""
    if not dry_run:
        confirm(f"Roll project {project} back?", yes)
    made = settings.api.change(
        "POST",
        f"/v1/projects/{project.id}/deployments/rollback",
        key=key,
        dry_run=dry_run,
    )
    return _begun(settings, made, following, dry_run=dry_run)


@deploy.command(epilog="Example: orchestrator deploy status deploy-0123456789ab --follow")
@task_argument
@follow_options
@after_option
@json_option
@with_settings
def status(settings: Settings, task_id: str, following: Following, after: int) -> int:
    """Show how a deployment's task stands."""
    return show_or_follow(settings, task_id, following, after)


@deploy.command(name="list", epilog="Example: orchestrator deploy list todo-app")
@project_argument
@limit_option
@json_option
@with_settings
def list_(settings: Settings, project: Chosen, limit: int | None) -> None:
    """List a project's deployments, newest first."""
    found = list(settings.api.pages(f"/v1/projects/{project.id}/deployments", limit))
    if settings.as_json:
        say_json(found)
        return
    say_table(
        f"Deployments of project {project}",
        ("No.", "Task", "Standing", "Source", "Created"),
        (
            (
                str(item["number"]),
                item["task_id"],
                item["standing"],
                _source(item),
                moment(item["created_at"]),
            )
            for item in found
        ),
    )


@deploy.command(epilog="Example: orchestrator deploy logs todo-app --lines 100 --follow")
@project_argument
@click.option("--lines", type=click.IntRange(1, 200), default=100, show_default=True)
@follow_options
@after_option
@json_option
@with_settings
def logs(settings: Settings, project: Chosen, lines: int, following: Following, after: int) -> int:
    """Show what the newest deployment's worker wrote last."""
    if following.until_the_end:
        newest = _newest(settings, project)
        seen = settings.api.get(f"/v1/tasks/{newest}")["last_seq"]
        return show_or_follow(settings, newest, following, after or max(0, seen - lines))
    found = settings.api.get(f"/v1/projects/{project.id}/deployments/logs", limit=lines)["items"]
    if settings.as_json:
        say_json(found)
        return Exit.OK
    say_lines(found)
    return Exit.OK


def _newest(settings: Settings, project: Chosen) -> str:
    found = list(settings.api.pages(f"/v1/projects/{project.id}/deployments", 1))
    if not found:
        raise CommandError(
            Exit.NOT_FOUND,
            "deployment_not_found",
            f"project {project} was never deployed",
            hint=f"orchestrator deploy check {project.name or project.id} says what is missing for it",
        )
    task: str = found[0]["task_id"]
    return task


def _source(item: dict[str, Any]) -> str:
    # An API of an older release knows no revisions.
    at = f" at {item['revision'][:9]}" if item.get("revision") else ""
    return item["image"] or f"repository{at}"


def _begun(
    settings: Settings,
    made: dict[str, Any],
    following: Following,
    *,
    dry_run: bool,
) -> int:
    if following.until_the_end and not dry_run:
        return show_or_follow(settings, made["task_id"], following)
    made = marked(made, dry_run=dry_run, ids=("task_id",))
    if settings.as_json:
        say_json(made)
        return Exit.OK
    if dry_run:
        click.echo("nothing was queued; this would be:", err=True)
    say_fields(
        {
            "deployment": made["number"],
            "task": made["task_id"],
            "standing": made["standing"],
            "source": _source(made),
        }
    )
    return Exit.OK
