"""Who may talk to the bot in Telegram: codes are approved, people are sent away again."""

from __future__ import annotations

import json
import threading
from typing import Any, Final

import click
from pydantic import ValidationError

from agentsession_core.pairing import (
    ANSWER,
    APPROVE,
    USER,
    Answer,
    Approval,
    config_map_name,
    read_code,
)
from kubectl_agents.errors import Exit, PluginError
from kubectl_agents.kubectl import Kubectl, Target
from kubectl_agents.options import Settings, common, with_settings
from kubectl_agents.tunnel import find_gateway

ANSWER_SECONDS: Final = 20.0


class Book:
    """The ConfigMap between this plugin and the bridge. Every call raises PluginError."""

    def __init__(self, settings: Settings) -> None:
        gateway = find_gateway(settings.kubectl)
        target = settings.kubectl.target
        self._kubectl = Kubectl(Target(gateway.namespace, target.context, target.kubeconfig))
        self._name = config_map_name(gateway.service.removesuffix("-gateway"))

    def who(self) -> str:
        """Who asks, as the API server sees it; "" where it does not say."""
        try:
            answer = json.loads(self._kubectl.run("auth", "whoami", "--output=json"))
            return str(answer["status"]["userInfo"]["username"])
        except (PluginError, ValueError, KeyError):
            return ""

    def write(self, data: dict[str, str | None]) -> None:
        """Change entries; None takes one away."""
        patch = json.dumps({"data": data})
        self._kubectl.run("patch", "configmap", self._name, "--type=merge", f"--patch={patch}")

    def people(self) -> dict[str, Any]:
        """The entries."""
        return dict(self._kubectl.read("get", "configmap", self._name).get("data") or {})

    def wait_for(self, key: str, seconds: float) -> str | None:
        """An entry that comes within the time."""
        path = key.replace(".", "\\.")
        watching = (
            "get",
            "configmap",
            self._name,
            "--watch",
            f"-o=jsonpath={{.data.{path}}}{{'\\n'}}",
        )
        with self._kubectl.process(*watching) as running:
            timer = threading.Timer(seconds, running.terminate)
            timer.start()
            try:
                for line in running.stdout or ():
                    if line.strip():
                        return line.strip()
            finally:
                timer.cancel()
        return None


def _answer(settings: Settings, body: Any, text: str) -> None:
    click.echo(json.dumps(body, indent=2, ensure_ascii=False) if settings.as_json else text)


@click.command()
@common
@click.argument("code")
@with_settings
def approve(settings: Settings, code: str) -> None:
    """Let somebody in who has got a CODE from the bot in Telegram.

    It needs Role <release>-approver in the release's namespace.

    \b
    Example:
      kubectl agents approve ABCD-EFGH -n agents
    """
    read = read_code(code)
    if read is None:
        raise PluginError(Exit.USAGE, f"{code!r} cannot be a code", "it looks like ABCD-EFGH")
    book = Book(settings)
    approval = Approval(by=book.who()).model_dump_json(by_alias=True)
    # An answer of before would be taken for this one's.
    book.write({ANSWER + read: None, APPROVE + read: approval})
    said = book.wait_for(ANSWER + read, ANSWER_SECONDS)
    if said is None:
        raise PluginError(
            Exit.TIMED_OUT,
            "the bridge has not answered yet",
            "see whether it runs; it lets them in when it does, if the code is still good",
        )
    answer = _read(said)
    if answer.user is None:
        raise PluginError(
            Exit.NOT_FOUND,
            f"nobody has the code {code}",
            "codes are good for an hour: let them write to the bot again",
        )
    _answer(
        settings,
        {"user": answer.user, "name": answer.name},
        f"{answer.name} ({answer.user}) is let in",
    )


@click.command()
@common
@click.argument("user_id", type=click.IntRange(min=1))
@with_settings
def revoke(settings: Settings, user_id: int) -> None:
    """Take back what `approve` did, by the person's numeric id.

    People of the chart's bridge.allowedUsers stay.

    \b
    Example:
      kubectl agents revoke 123456789 -n agents
    """
    book = Book(settings)
    if f"{USER}{user_id}" not in book.people():
        raise PluginError(
            Exit.NOT_FOUND, f"nobody was let in as {user_id}", "bridge.allowedUsers is the chart's"
        )
    book.write({f"{USER}{user_id}": None})
    _answer(settings, {"user": user_id}, f"{user_id} is not let in any more")


def _read(said: str) -> Answer:
    try:
        return Answer.model_validate_json(said)
    except ValidationError:
        raise PluginError(
            Exit.FAILED, "the bridge's answer cannot be read", "use a plugin of its version"
        ) from None


ALL: Final = (approve, revoke)
