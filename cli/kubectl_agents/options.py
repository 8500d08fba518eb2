"""The options every command has, kubectl's own: before the command or after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import update_wrapper
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from kubectl_agents.errors import PluginError
from kubectl_agents.kubectl import Kubectl, Target

F = TypeVar("F", bound=Callable[..., Any])
_KEPT = ("namespace", "context", "kubeconfig")


@dataclass
class Settings:
    """What the options say. `--json` after or before the command."""

    namespace: str = ""
    context: str = ""
    kubeconfig: str = ""
    as_json: bool = False
    _kubectl: Kubectl | None = field(default=None, repr=False)

    @property
    def kubectl(self) -> Kubectl:
        """kubectl for that target. Raises PluginError."""
        if self._kubectl is None:
            self._kubectl = Kubectl(Target(self.namespace, self.context, self.kubeconfig))
        return self._kubectl


def settings_of(context: click.Context) -> Settings:
    """The settings that all levels of the command line share."""
    return context.ensure_object(Settings)


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    if value and parameter.name:
        setattr(settings_of(context), parameter.name, value)
    return value


def common(command: F) -> F:
    """Adds the options; their values are in the context's Settings."""
    for option in reversed(
        (
            click.option(
                "-n", "--namespace", metavar="NAMESPACE", help="Where the session is.",
                callback=_keep, expose_value=False,
            ),
            click.option(
                "--context", metavar="CONTEXT", help="The kubeconfig context to use.",
                callback=_keep, expose_value=False,
            ),
            click.option(
                "--kubeconfig", metavar="FILE", help="The kubeconfig file to use.",
                callback=_keep, expose_value=False,
            ),
            click.option(
                "--json", "as_json", is_flag=True, help="Answer with JSON, for programs.",
                callback=_keep, expose_value=False,
            ),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def _names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> Any:
    try:
        found = settings_of(context.find_root()).kubectl.sessions()
    except PluginError:
        # A completion that cannot be had is none: an error here would garble the line being typed.
        return []
    items = []
    for session in found:
        name = str(session["metadata"]["name"])
        phase = str((session.get("status") or {}).get("phase") or "")
        if name.startswith(incomplete):
            items.append(CompletionItem(name, help=phase))
    return items


def session_argument(command: F) -> F:
    """Adds the argument NAME, completed from the cluster."""
    return click.argument("name", callback=_checked_name, shell_complete=_names)(command)


def _checked_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    # What is no name never reaches a command line or a path.
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    if not value or set(value) - allowed or value[0] in "-." or len(value) > 253:
        raise click.BadParameter(f"{value!r} cannot be the name of a session")
    return value


def with_settings(function: F) -> Callable[..., Any]:
    """Passes the Settings as the first argument."""

    @click.pass_context
    def call(context: click.Context, *args: Any, **kwargs: Any) -> Any:
        return context.invoke(function, settings_of(context), *args, **kwargs)

    return update_wrapper(call, function)
