"""`orchestrator task`, and what every command that begins a task does with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from orchestrator_cli.chosen import Chosen, project_option
from orchestrator_cli.errors import CommandError, Exit
from orchestrator_cli.options import (
    Following,
    Settings,
    after_option,
    dry_run_option,
    follow_options,
    json_option,
    limit_option,
    with_settings,
)
from orchestrator_cli.output import (
    marked,
    moment,
    printable,
    say_fields,
    say_json,
    say_line,
    say_note,
    say_table,
)

# The API waits so long for the next event; a follower asks again then.
WAIT_SECONDS = 20
# A follower bears with an API that is away for so long, and asks again after such a pause.
AWAY_SECONDS = 120.0
AGAIN_SECONDS = 1.0


@click.group(name="task", epilog="Example: orchestrator task list --limit 10")
@json_option
def task() -> None:
    """Tasks: what workers do for your projects."""


task_argument = click.argument("task_id", metavar="TASK")


@task.command(name="list", epilog="Example: orchestrator task list --limit 10")
@click.option("--kind", type=click.Choice(["engineering", "analysis", "deploy"]))
@project_option
@limit_option
@json_option
@with_settings
def list_(settings: Settings, kind: str | None, project: Chosen | None, limit: int | None) -> None:
    """List your tasks, newest first."""
    found = list(
        settings.api.pages("/v1/tasks", limit, kind=kind, project_id=project and project.id)
    )
    if settings.as_json:
        say_json([_for_programs(item) for item in found])
        return
    say_table(
        "Tasks",
        ("ID", "Project", "Standing", "Created"),
        (
            (
                item["id"],
                str(item["project_id"] or "-"),
                item["standing"],
                moment(item["created_at"]),
            )
            for item in found
        ),
    )


@task.command(epilog="Example: orchestrator task status engineering-0123456789ab --follow")
@task_argument
@follow_options
@after_option
@json_option
@with_settings
def status(settings: Settings, task_id: str, following: Following, after: int) -> int:
    """Show a task; with --follow its events until it has ended."""
    return show_or_follow(settings, task_id, following, after)


@task.command(epilog="Example: orchestrator task cancel deploy-0123456789ab")
@task_argument
@dry_run_option
@json_option
@with_settings
def cancel(settings: Settings, task_id: str, dry_run: bool) -> None:
    """End a queued task, or one whose worker is gone; ask the worker of a running one to stop."""
    path = f"/v1/tasks/{segment(task_id)}/cancel"
    found = settings.api.change("POST", path, dry_run=dry_run)
    if dry_run and not settings.as_json:
        click.echo("nothing was cancelled; this would come of it:", err=True)
    say_task(settings, marked(found, dry_run=dry_run))


def show_or_follow(settings: Settings, task_id: str, following: Following, after: int = 0) -> int:
    """Shows the task, at once or when it has ended; the exit code. Raises CommandError.

    Events are followed after number `after`.
    """
    path = f"/v1/tasks/{segment(task_id)}"
    if following.until_the_end:
        follow_task(settings, task_id, after, say=following.follow, timeout=following.timeout)
    found = settings.api.get(path)
    if following.follow and settings.as_json:
        say_line({"kind": "result", "task": _for_programs(found)})
    else:
        say_task(settings, found)
    return (
        Exit.TASK_FAILED
        if found["state"] in ("failed", "cancelled") and following.until_the_end
        else 0
    )


def follow_task(
    settings: Settings, task_id: str, after: int, *, say: bool, timeout: float | None
) -> None:
    """Until the task has ended; with `say` each event after number `after` is said.

    Cut off, it goes on after the last event it had. Raises CommandError: TIMED_OUT when all of that
    takes longer than `timeout` seconds.
    """
    deadline = None if timeout is None else settings.clock() + timeout
    settings.api.deadline = deadline
    told = False
    while True:
        left = WAIT_SECONDS if deadline is None else deadline - settings.clock()
        if left <= 0:
            raise CommandError(
                Exit.TIMED_OUT,
                "not_ended",
                f"task {task_id} has not ended within {timeout:g} s",
                hint=f"it goes on: orchestrator task status {task_id} --follow --after {after}",
            )
        page = _events(settings, task_id, after, min(left, WAIT_SECONDS), deadline)
        for event in page["items"]:
            after = event["seq"]
            if say:
                say_event(settings, event)
        if page["ended"]:
            return
        if page["state"] == "queued" and say and not told:
            told = True
            say_note("waits in its queue: no worker has taken it yet", as_json=settings.as_json)


def _events(
    settings: Settings, task_id: str, after: int, wait: float, deadline: float | None
) -> Any:
    # Without Redis the API answers at once: then this end waits, or it would ask without a pause.
    began = settings.clock()
    query = {"after": after, "wait": f"{wait:.1f}"}
    page = unless_away(
        settings,
        lambda: settings.api.get(f"/v1/tasks/{segment(task_id)}/events", **query),
        after,
        deadline,
    )
    if not page["items"] and not page["ended"] and settings.clock() - began < 0.5:
        settings.sleep(min(wait, 2.0))
    return page


def unless_away(
    settings: Settings, ask: Callable[[], Any], after: object, deadline: float | None
) -> Any:
    """Asks until the API is there again: it may be starting anew. Raises CommandError.

    `after` is the last event that was shown, `deadline` by the settings' clock.
    """
    given_up = settings.clock() + AWAY_SECONDS
    if deadline is not None:
        given_up = min(given_up, deadline)
    cut = False
    while True:
        try:
            return ask()
        except CommandError as error:
            if error.exit_code is not Exit.UNAVAILABLE or settings.clock() >= given_up:
                raise
            if not cut:
                cut = True
                said = f"cut off ({error.code}); goes on after event {after}"
                say_note(said, as_json=settings.as_json)
            left = max(0.0, given_up - settings.clock())
            settings.sleep(min(max(AGAIN_SECONDS, error.retry_after), left))


def say_event(settings: Settings, event: dict[str, Any]) -> None:
    """One event, as a line for people or programs."""
    if settings.as_json:
        say_line(event)
    else:
        click.echo(f"{event['at'][11:19]} {event['kind']:<10} {printable(event['message'])}")


def say_task(settings: Settings, found: dict[str, Any]) -> None:
    """A task for people or programs."""
    if settings.as_json:
        say_json(_for_programs(found))
        return
    say_fields(
        {
            "task": found["id"],
            "project": found["project_id"],
            "standing": found["standing"],
            "request": found["request"],
            "result": "; ".join(f"{name} {said}" for name, said in found["result"].items()),
            "created": moment(found["created_at"]),
            "ended": moment(found["finished_at"]),
        }
    )


def _for_programs(found: dict[str, Any]) -> dict[str, Any]:
    """A task with its id and state under the names that they have in a deployment."""
    return {"task_id": found["id"], "status": found["state"], **found}


def name_segment(text: str) -> str:
    """A name or a mailbox as a part of a path, as `segment`. Raises click.UsageError."""
    if not _is_segment(text.replace(".", "")):
        raise click.UsageError(f"{text!r} is no name of a service, a project or a session")
    return text


def segment(text: str) -> str:
    """An id as a part of a path; what is none never reaches one. Raises click.UsageError."""
    if not _is_segment(text):
        raise click.UsageError(f"{text!r} is no id")
    return text


def _is_segment(text: str) -> bool:
    return text.replace("-", "").replace("_", "").isalnum()
