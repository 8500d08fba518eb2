"""A log that is followed: a deployment's to its end, a session's for as long as somebody looks."""

from __future__ import annotations

from typing import Any, NoReturn

import click

from orchestrator_cli.errors import CommandError, Exit
from orchestrator_cli.options import Following, Settings
from orchestrator_cli.output import printable, say_line, say_lines
from orchestrator_cli.tasks import show_or_follow, unless_away

# A session's log is asked for so often; at most so many lines of it between two looks are seen.
LOOK_SECONDS = 2.0
FOLLOWED = 200


def say_standing(found: dict[str, Any]) -> None:
    """How what the log is of stands now, for people."""
    click.echo(printable(f"{found['of']} {found['name']}: {found['standing']}"), err=True)


def follow_log(settings: Settings, path: str, found: dict[str, Any], timeout: float | None) -> int:
    """Says what of the log is there and what comes; the exit code. Raises CommandError: TIMED_OUT after
    `timeout` seconds."""
    if not settings.as_json:
        say_standing(found)
    if found["of"] == "deployment":
        if found["task_id"] is None:
            raise CommandError(
                Exit.NOT_FOUND,
                "deployment_not_found",
                f"{found['name']} was never deployed",
                hint=f"orchestrator deploy check {found['project_id']} says what is missing for it",
            )
        after = int(found["items"][0]["id"]) - 1 if found["items"] else 0
        following = Following(follow=True, wait=False, timeout=timeout)
        return show_or_follow(settings, found["task_id"], following, after)
    return _follow_session(settings, path, found, timeout)


def _follow_session(
    settings: Settings, path: str, found: dict[str, Any], timeout: float | None
) -> NoReturn:
    deadline = None if timeout is None else settings.clock() + timeout
    settings.api.deadline = deadline
    seen: set[str] = set()
    last = ""
    while True:
        for line in found["items"]:
            if line["id"] not in seen:
                last = line["id"]
                _say_line(settings, line)
        seen = {line["id"] for line in found["items"]}
        left = LOOK_SECONDS if deadline is None else deadline - settings.clock()
        if left <= 0:
            raise CommandError(
                Exit.TIMED_OUT, "not_ended", f"a session's log has no end; {timeout:g} s are over"
            )
        settings.sleep(min(LOOK_SECONDS, left))
        found = unless_away(
            settings, lambda: settings.api.get(path, limit=FOLLOWED), last, deadline
        )


def _say_line(settings: Settings, line: dict[str, Any]) -> None:
    if settings.as_json:
        say_line(line)
    else:
        say_lines([line])
