"""Commands that talk to the session through the gateway."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from kubectl_agents.chat import HISTORY_SHOWN, Chat, LeaveError
from kubectl_agents.errors import Exit, PluginError
from kubectl_agents.follow import SUCCEEDED, Outcome, Say, Tone, failure_text
from kubectl_agents.gateway import Gateway, connect
from kubectl_agents.options import Settings, common, session_argument, with_settings
from kubectl_agents.repl import Repl, terminal_lines
from kubectl_agents.screen import Screen, harmless
from kubectl_agents.watching import StatusWatch


def new_id() -> str:
    """A message's id: the same one again is the same message."""
    return str(uuid.uuid4())


@contextmanager
def open_gateway(settings: Settings, name: str) -> Iterator[Gateway]:
    """The gateway, with a spinner on the way there."""
    screen = Screen(sys.stderr)
    screen.busy("opening a way to the gateway")
    try:
        with connect(settings.kubectl, name) as gateway:
            screen.calm()
            yield gateway
    finally:
        screen.calm()


@click.command()
@common
@click.option("-m", "--message", help="Send this and print the answer, instead of a conversation.")
@click.option(
    "--history",
    type=click.IntRange(0, 50),
    default=HISTORY_SHOWN,
    show_default=True,
    help="How many earlier turns to show.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="Wait so long for the answer to one message; without it for ever.",
)
@session_argument
@with_settings
def chat(
    settings: Settings, name: str, message: str | None, history: int, timeout: float | None
) -> int:
    """Talk to an agent.

    At a terminal it is a conversation: answers are streamed, ctrl-c stops the running turn and a second
    one leaves, /new begins a new conversation, /quit leaves. With a message in a pipe or in --message it
    sends that one, prints the answer and ends.

    \b
    Examples:
      kubectl agents chat hello -n agents
      echo "What is in this folder?" | kubectl agents chat hello -n agents
      kubectl agents chat hello -n agents -m "Run the tests" --timeout 600 --json
    """
    one = message if message is not None else _piped()
    if one is not None and not one.strip():
        raise click.UsageError("there is no message: standard input is empty")
    if one is None and settings.as_json:
        raise click.UsageError("--json needs one message, in a pipe or with --message")
    session = settings.kubectl.session(name)
    by_hand = (session.get("spec") or {}).get("operatingMode") == "Suspended"
    if by_hand and one is not None:
        raise PluginError(
            Exit.REFUSED,
            f"{name} is suspended by hand: a message would wait",
            f"kubectl agents resume {name}",
        )
    with open_gateway(settings, name) as gateway:
        if one is not None:
            return _ask_once(settings, gateway, name, one, timeout)
        return _converse(settings, gateway, name, history, by_hand=by_hand)


def _piped() -> str | None:
    return None if sys.stdin.isatty() else sys.stdin.read()


def _chat(settings: Settings, gateway: Gateway, name: str, screen: Screen) -> Chat:
    return Chat(gateway, screen, new_id, lambda tell: StatusWatch(settings.kubectl, name, tell))


def _converse(
    settings: Settings, gateway: Gateway, name: str, history: int, *, by_hand: bool
) -> int:
    screen = Screen(sys.stdout)
    talk = _chat(settings, gateway, name, screen)
    talk.begin(history)
    if by_hand:
        screen.note(
            f"{name} is suspended by hand: messages wait until kubectl agents resume {name}"
        )
    screen.note(f"{name}: /help says what there is")
    return Repl(talk, screen, terminal_lines()).run()


def _ask_once(
    settings: Settings, gateway: Gateway, name: str, text: str, timeout: float | None
) -> int:
    # Standard output is the answer's alone; what happens on the way is told to people.
    screen = Screen(sys.stderr) if sys.stderr.isatty() else None
    talk = _chat(settings, gateway, name, screen or _Silent())
    talk.begin(history=0)
    try:
        outcome = talk.ask(text, timeout)
    except LeaveError:
        return Exit.INTERRUPTED
    if settings.as_json:
        body = {"outcome": outcome.outcome, "text": outcome.text, "error": outcome.error}
        click.echo(json.dumps(body, ensure_ascii=False))
    elif outcome.text:
        _print_answer(outcome.text)
    return _exit_of(outcome, told=screen is not None or settings.as_json)


def _print_answer(text: str) -> None:
    # To a terminal nothing that moves its cursor; to a program every byte.
    click.echo(harmless(text) if sys.stdout.isatty() else text, color=True)


def _exit_of(outcome: Outcome, *, told: bool) -> int:
    if outcome.refused:
        if not told:
            click.echo(f"✘ {outcome.error}", err=True)
        return Exit.REFUSED
    if outcome.outcome == SUCCEEDED:
        return Exit.OK
    if not told:
        click.echo(f"✘ {failure_text(outcome.outcome, outcome.error)}", err=True)
    return Exit.FAILED


class _Silent(Screen):
    """Nobody looks on."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def say(self, *says: Say) -> None:
        """Says nothing."""

    def busy(self, text: str) -> None:
        """Says nothing."""


@click.command()
@common
@session_argument
@with_settings
def last(settings: Settings, name: str) -> int:
    """Print the newest finished turn's answer.

    Answers to a chat elsewhere, Telegram for one, stay there: of such a turn it says how it ended.

    \b
    Example:
      kubectl agents last hello -n agents
    """
    with open_gateway(settings, name) as gateway:
        turn = gateway.last()
    if settings.as_json:
        click.echo(json.dumps(turn.to_wire(), ensure_ascii=False, indent=2))
    elif turn.turn is None:
        click.echo(f"{name} has not finished a turn yet.", err=True)
    elif not turn.shown:
        click.echo(f"The last turn answered {turn.source} ({turn.outcome}): look there.", err=True)
    else:
        if turn.text:
            _print_answer(turn.text)
        if turn.outcome != SUCCEEDED:
            screen = Screen(sys.stderr)
            screen.say(Say(Tone.PROBLEM, failure_text(str(turn.outcome), turn.error)))
    return Exit.OK


@click.command()
@common
@session_argument
@with_settings
def new(settings: Settings, name: str) -> None:
    """Begin a new conversation: the agent forgets what was said, its files stay.

    \b
    Example:
      kubectl agents new hello -n agents
    """
    with open_gateway(settings, name) as gateway:
        conversation = gateway.new(new_id()).conversation
    if settings.as_json:
        click.echo(json.dumps({"name": name, "conversation": conversation}))
    else:
        click.echo(f"conversation {conversation} of {name} begins with the next message")


@click.command()
@common
@session_argument
@with_settings
def keep(settings: Settings, name: str) -> None:
    """Keep a session: its idle time, until sleep and until deletion, begins anew.

    \b
    Example:
      kubectl agents keep hello -n agents
    """
    with open_gateway(settings, name) as gateway:
        gateway.keep()
    if settings.as_json:
        click.echo(json.dumps({"name": name, "kept": True}))
    else:
        click.echo(
            f"the idle time of {name} begins anew; kubectl agents why {name} says until when"
        )


ALL: Final = (chat, last, new, keep)
