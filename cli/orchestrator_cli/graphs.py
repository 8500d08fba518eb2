"""`orchestrator admin`, and the same as `orchestrator graph`: the workers' graphs, for administrators."""

from __future__ import annotations

from typing import Any

import click

from orchestrator_cli.options import (
    Settings,
    dry_run_option,
    json_option,
    key_option,
    limit_option,
    with_settings,
)
from orchestrator_cli.output import marked, moment, printable, say_fields, say_json, say_table
from orchestrator_cli.projects import confirm
from orchestrator_cli.tasks import task_argument


def _group(name: str) -> click.Group:
    """The commands under that name: each example has to name the command as it was called."""
    group = json_option(
        click.Group(
            name,
            help="The workers' graphs. For administrators.",
            epilog=f"Example: orchestrator {name} nodes",
        )
    )
    for command, function, example in (
        ("nodes", nodes, ""),
        ("trigger-node", trigger_node, " developer engineering-0123456789ab"),
        ("clear-state", clear_state, " engineering-0123456789ab --yes"),
        ("commands", commands, " --task engineering-0123456789ab"),
    ):
        epilog = f"Example: orchestrator {name} {command}{example}"
        group.command(name=command, epilog=epilog)(with_settings(function))
    return group


@json_option
def nodes(settings: Settings) -> None:
    """List the nodes that workers have reported, and how long ago workers did."""
    found = settings.api.get("/v1/graphs/nodes")
    if settings.as_json:
        say_json(found)
        return
    for said in found["standing"].values():
        click.echo(printable(said))
    say_table(
        "Nodes",
        ("Node", "Graph", "Worker", "Alive", "Reported"),
        (
            (
                item["node"],
                item["graph"],
                item["worker"],
                "yes" if item["alive"] else "no",
                moment(item["seen_at"]),
            )
            for item in found["items"]
        ),
    )


@click.argument("node")
@task_argument
@key_option
@dry_run_option
@json_option
def trigger_node(
    settings: Settings, node: str, task_id: str, key: str | None, dry_run: bool
) -> None:
    """Have a task begin at a node of its graph; one that has ended is queued again."""
    body = {"kind": "trigger-node", "task_id": task_id, "node": node}
    _ask(settings, body, key, dry_run=dry_run)


@task_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@key_option
@dry_run_option
@json_option
def clear_state(
    settings: Settings, task_id: str, yes: bool, key: str | None, dry_run: bool
) -> None:
    """Have a task's graph forget its state: the task's next run begins at its first node."""
    if not dry_run:
        confirm(f"Forget the state of {task_id}'s graph?", yes)
    _ask(settings, {"kind": "clear-state", "task_id": task_id}, key, dry_run=dry_run)


@click.option("--task", "task_id", metavar="TASK", help="Of this task only.")
@limit_option
@json_option
def commands(settings: Settings, task_id: str | None, limit: int | None) -> None:
    """List what administrators have asked of graphs and what came of it, newest first."""
    found = list(settings.api.pages("/v1/graphs/commands", limit, task_id=task_id))
    if settings.as_json:
        say_json(found)
        return
    say_table(
        "Commands",
        ("ID", "What", "Task", "Standing"),
        (
            (
                item["id"],
                f"{item['kind']} {item['node']}".strip(),
                item["task_id"],
                f"{item['standing']}: {item['message']}" if item["message"] else item["standing"],
            )
            for item in found
        ),
    )


def _ask(settings: Settings, body: dict[str, Any], key: str | None, *, dry_run: bool) -> None:
    made = settings.api.change("POST", "/v1/graphs/commands", body, key=key, dry_run=dry_run)
    made = marked(made, dry_run=dry_run, ids=("id",))
    if settings.as_json:
        say_json(made)
        return
    if dry_run:
        click.echo("nothing was queued; this would be:", err=True)
    say_fields(
        {
            "command": made["id"],
            "task": made["task_id"],
            "what": f"{made['kind']} {made['node']}".strip(),
            "standing": made["standing"],
        }
    )


admin = _group("admin")
graph = _group("graph")
