"""An entry of the outbox as messages."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Final

from agentsession_bridge.formatting import format_answer
from agentsession_bridge.formatting.messages import Message
from agentsession_bridge.outbox import Entry
from agentsession_core.api.values import TurnOutcome

_ENDINGS: Final[dict[str, str]] = {
    TurnOutcome.FAILED: "The agent could not finish this.",
    TurnOutcome.TIMED_OUT: "The agent took too long and was stopped.",
    TurnOutcome.CANCELLED: "Stopped.",
    TurnOutcome.MODEL_ERROR: "The model did not answer. Please try again.",
    TurnOutcome.DEAD_LETTERED: "The agent failed at this again and again; it is set aside.",
}
_EMPTY: Final = "(The agent is done and has nothing to say.)"


@dataclass(frozen=True)
class Saying:
    """What is sent for an entry."""

    messages: tuple[Message, ...]
    document: str | None = None


def say(entry: Entry) -> Saying:
    """Return an entry's messages: there is always at least one."""
    if entry.kind == "notice":
        return Saying((_plain(entry.text),))
    formatted = format_answer(entry.text)
    messages = formatted.messages
    if ending := _ENDINGS.get(entry.outcome):
        messages = _ended(messages, _plain(ending))
    return Saying(messages or (_plain(_EMPTY),), formatted.document)


def _ended(messages: tuple[Message, ...], ending: Message) -> tuple[Message, ...]:
    """An ending of its own would wait for the chat's pace: it stands below the last message."""
    joined = messages[-1].followed_by(ending) if messages else None
    return (*messages[:-1], joined) if joined else (*messages, ending)


def _plain(text: str) -> Message:
    return Message(html.escape(text, quote=False), text)
