"""Which project is meant: its number, or its name among the user's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any

import click

from orchestrator_cli.errors import CommandError, Exit
from orchestrator_cli.options import Settings

_NUMBER = re.compile(r"[1-9][0-9]{0,15}")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Chosen:
    """A project: its number, and its name where it was called by it."""

    id: int
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.id})" if self.name else str(self.id)


class ProjectType(click.ParamType[str]):
    """A project's number or name, by its form alone: that such a project is there is asked later."""

    name = "project"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word, unchanged. Raises click.BadParameter."""
        word = str(value)
        fits = _NUMBER if word.isdigit() else _NAME
        if not fits.fullmatch(word):
            self.fail(
                f"{word!r} is no project's number (1 and more) and no name (a-z, 0-9 and hyphens)",
                param,
                ctx,
            )
        return word


def project_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds PROJECT, passed as `project`, a Chosen."""
    return click.argument("project", metavar="PROJECT", type=ProjectType())(_choosing(function))


def project_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--project`, passed as `project`, a Chosen or None."""
    return click.option(
        "--project", metavar="PROJECT", type=ProjectType(), help="Its number or name."
    )(_choosing(function))


def chosen(settings: Settings, word: str) -> Chosen:
    """The user's project of that number or name; a name costs a request. Raises CommandError."""
    if word.isdigit():
        # Digits alone are always a number: nobody may mean one project and name another.
        return Chosen(int(word))
    for item in settings.api.pages("/v1/projects", name=word):
        # An API of an older release answers with all projects.
        if item["name"] == word:
            return Chosen(item["id"], word)
    raise CommandError(
        Exit.NOT_FOUND,
        "project_not_found",
        f"you have no project {word!r}",
        hint="orchestrator project list shows what there is",
    )


def _choosing(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, project: str | None, **kwargs: Any) -> Any:
        settings = click.get_current_context().ensure_object(Settings)
        found = None if project is None else chosen(settings, project)
        return function(*args, project=found, **kwargs)

    return update_wrapper(call, function)
