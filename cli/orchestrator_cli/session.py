"""`orchestrator respond` and `finish`: what an agent says of its own turn and session."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestrator_cli.chosen import Chosen, project_option
from orchestrator_cli.options import (
    Settings,
    dry_run_option,
    json_option,
    key_option,
    with_settings,
)
from orchestrator_cli.output import marked, say_fields, say_json

F = TypeVar("F", bound=Callable[..., Any])
_REACHES = {
    "chat": "said in the chat",
    "terminal": "said to whoever follows the session at a terminal",
    None: "said before",
}


def text_options(name: str) -> Callable[[F], F]:
    """Adds the text, as an argument of that name, and `--file`."""

    def add(command: F) -> F:
        option = click.option(
            "--file",
            "from_file",
            type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
            help="Take the text from this file, or with - from standard input.",
        )
        return click.argument(name, required=False)(option(command))

    return add


@click.command(epilog="Example: orchestrator respond 'The tests pass; I deploy it now.'")
@text_options("text")
@key_option
@dry_run_option
@json_option
@with_settings
def respond(
    settings: Settings, text: str | None, from_file: Path | None, key: str | None, dry_run: bool
) -> None:
    """Say something to your person at once, before your turn's answer; `-` reads standard input.

    For agents in the middle of a turn: what long work is at, or a question that cannot wait.
    """
    body = {"text": _said(text, from_file)}
    made = settings.api.change("POST", "/v1/responses", body, key=key, dry_run=dry_run)
    if settings.as_json:
        say_json(marked(made, dry_run=dry_run, ids=("id",)))
    else:
        click.echo("nothing was said" if dry_run else _REACHES[made["reaches"]])


@click.command(epilog="Example: orchestrator finish 'Deployed todo-app 1.4' --project todo-app")
@text_options("summary")
@project_option
@key_option
@dry_run_option
@json_option
@with_settings
def finish(
    settings: Settings,
    summary: str | None,
    from_file: Path | None,
    project: Chosen | None,
    key: str | None,
    dry_run: bool,
) -> None:
    """Keep a summary of what was done with the session, and with a project; `-` reads standard input."""
    body = {"text": _said(summary, from_file), "project_id": project and project.id}
    made = settings.api.change("POST", "/v1/summaries", body, key=key, dry_run=dry_run)
    made = marked(made, dry_run=dry_run, ids=("id",))
    if settings.as_json:
        say_json(made)
        return
    if dry_run:
        click.echo("nothing was kept; this would be:", err=True)
    say_fields(
        {
            "summary": made["id"],
            "session": made["session_uid"],
            "project": made["project_id"],
            "text": made["text"],
        }
    )


def _said(text: str | None, from_file: Path | None) -> str:
    """Raises click.UsageError where there is nothing to say, or two things, or a file that is no text."""
    if text is not None and from_file is not None:
        raise click.UsageError("give the text or --file, not both")
    dash = text == "-" or str(from_file) == "-"
    try:
        said = (
            sys.stdin.read()
            if dash
            else from_file.read_text(encoding="utf-8")
            if from_file
            else text
        )
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"the text cannot be read: {error}") from None
    if said is None or not said.strip():
        raise click.UsageError("there is no text")
    return said
