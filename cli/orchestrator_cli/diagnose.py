"""`orchestrator diagnose`, `search` and `escalate`."""

from __future__ import annotations

import click

from orchestrator_cli.chosen import Chosen, project_option
from orchestrator_cli.errors import Exit
from orchestrator_cli.logs import follow_log, say_standing
from orchestrator_cli.options import (
    Settings,
    dry_run_option,
    json_option,
    key_option,
    limit_option,
    with_settings,
)
from orchestrator_cli.output import (
    marked,
    moment,
    printable,
    say_fields,
    say_json,
    say_lines,
    say_table,
)
from orchestrator_cli.tasks import name_segment


@click.group(name="diagnose", epilog="Example: orchestrator diagnose health")
@json_option
def diagnose() -> None:
    """See how the platform is and what has gone wrong."""


@diagnose.command(epilog="Example: orchestrator diagnose health")
@json_option
@with_settings
def health(settings: Settings) -> None:
    """Show how the platform's parts are, and how many tasks of yours wait."""
    found = settings.api.get("/v1/health")
    if settings.as_json:
        say_json(found)
        return
    say_fields(
        {
            **found["parts"],
            "unpublished": found["outbox"],
            "queued tasks": found["queued_tasks"],
            "running tasks": found["running_tasks"],
        }
    )


@diagnose.command(epilog="Example: orchestrator diagnose logs web --lines 50")
@click.argument("service")
@project_option
@click.option("--lines", type=click.IntRange(1, 200), default=100, show_default=True)
@click.option(
    "--follow",
    is_flag=True,
    help="Go on with what happens: of a deployment until it has ended, of a session until ctrl-c. "
    "NDJSON with --json.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Give up following after so long.",
)
@json_option
@with_settings
def logs(
    settings: Settings,
    service: str,
    project: Chosen | None,
    lines: int,
    follow: bool,
    timeout: float | None,
) -> int:
    """Show the last lines of a service, of a project, or of a session of yours (by its mailbox).

    `session` is the session that asks. Of a deployment it is what its worker wrote; of a session, what
    happened in it, without the words.
    """
    if timeout is not None and not follow:
        raise click.UsageError("--timeout needs --follow")
    path = f"/v1/logs/{name_segment(service)}"
    found = settings.api.get(path, limit=lines, project_id=project and project.id)
    if follow:
        return follow_log(settings, path, found, timeout)
    if settings.as_json:
        say_json(found)
    else:
        say_standing(found)
        say_lines(found["items"])
    return Exit.OK


@diagnose.command(epilog="Example: orchestrator diagnose incidents --open")
@click.option("--open", "only_open", is_flag=True, help="Only those that nobody has resolved.")
@limit_option
@json_option
@with_settings
def incidents(settings: Settings, only_open: bool, limit: int | None) -> None:
    """List your incidents, newest first."""
    state = "open" if only_open else None
    found = list(settings.api.pages("/v1/incidents", limit, state=state))
    if settings.as_json:
        say_json(found)
        return
    say_table(
        "Incidents",
        ("ID", "State", "Project", "Title", "Opened"),
        (
            (
                str(item["id"]),
                item["state"],
                str(item["project_id"] or "-"),
                item["title"],
                moment(item["created_at"]),
            )
            for item in found
        ),
    )


@diagnose.command(epilog="Example: orchestrator diagnose resolve 5")
@click.argument("incident_id", metavar="INCIDENT", type=click.IntRange(1))
@dry_run_option
@json_option
@with_settings
def resolve(settings: Settings, incident_id: int, dry_run: bool) -> None:
    """Say that nobody has to look at an incident any more. Not for agents."""
    path = f"/v1/incidents/{incident_id}/resolve"
    found = settings.api.change("POST", path, dry_run=dry_run)
    if settings.as_json:
        say_json(marked(found, dry_run=dry_run))
        return
    if dry_run:
        click.echo("nothing was resolved; this would come of it:", err=True)
    say_fields(
        {
            "incident": found["id"],
            "state": found["state"],
            "title": found["title"],
            "resolved": moment(found["resolved_at"]),
        }
    )


@click.command(epilog="Example: orchestrator search 'naming services'")
@click.argument("query")
@click.option("--limit", type=click.IntRange(1, 50), default=10, show_default=True)
@json_option
@with_settings
def search(settings: Settings, query: str, limit: int) -> None:
    """Search your and everybody's articles for all the words."""
    found = settings.api.get("/v1/articles", q=query, limit=limit)["items"]
    if settings.as_json:
        say_json(found)
        return
    if not found:
        click.echo("nothing has all these words")
    for item in found:
        body = printable(" ".join(item["body"].split())[:200])
        click.echo(f"{item['id']}  {printable(item['title'])}\n   {body}")


@click.command(epilog="Example: orchestrator escalate 'The deployment fails' --project todo-app")
@click.argument("title")
@click.option("--description", default="", help="What was tried, and what came of it.")
@project_option
@key_option
@dry_run_option
@json_option
@with_settings
def escalate(
    settings: Settings,
    title: str,
    description: str,
    project: Chosen | None,
    key: str | None,
    dry_run: bool,
) -> None:
    """Open an incident for a person to look at, and tell them.

    For agents that have failed three times: they stop and say so.
    """
    body = {"title": title, "description": description, "project_id": project and project.id}
    made = settings.api.change("POST", "/v1/incidents", body, key=key, dry_run=dry_run)
    made = marked(made, dry_run=dry_run, ids=("id",))
    if settings.as_json:
        say_json(made)
        return
    if dry_run:
        click.echo("nothing was opened; this would be:", err=True)
    say_fields(
        {
            "incident": made["id"],
            "state": made["state"],
            "title": made["title"],
            "told": made["notified"] or "nobody: it is in the list of incidents",
        }
    )
