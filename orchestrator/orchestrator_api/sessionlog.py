"""What happened in a session, from its mailbox's events. Pure functions.

No words of a chat: a run of one chat may ask for what happened in another of the same user, and the
people there are not all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agentsession_core.mailbox.model import MailboxEvent, MailboxState


@dataclass(frozen=True)
class Line:
    """One thing that happened; `id` is the place in its log."""

    id: str
    at: datetime
    kind: str
    message: str


def lines(events: Iterable[MailboxEvent]) -> list[Line]:
    """What the events say about how things went, oldest first."""
    found = ((event, _message(event)) for event in events)
    return [
        Line(event.id, _time(event.id), event.kind, message)
        for event, message in found
        if message is not None
    ]


def standing(state: MailboxState) -> str:
    """What is known of the session now, in words."""
    run = f"run {state.run.run} is {state.run.state}" if state.run else "no run"
    turn = f"turn {state.turn.turn} is going on" if state.turn else "no turn is going on"
    said = [run, turn, f"{state.waiting_behind_turn} messages wait"]
    if state.failure is not None:
        said.append(f"failed {state.failure.count} times: {state.failure.reason}")
    return "; ".join(said)


def _message(event: MailboxEvent) -> str | None:
    data = event.data
    if event.kind == "turn":
        return _turn(event)
    if event.kind == "tool":
        return f"turn {event.turn} used {_text(data, 'name') or 'a tool'}"
    if event.kind == "respond":
        return f"turn {event.turn} said something"
    if event.kind == "notice":
        return "people were told something"
    # What the orchestrator says stands under no turn; a runner's words always do.
    if event.kind == "state" and event.source == "api" and not event.turn:
        if _text(data, "task"):
            return f"task {_text(data, 'task')} {_text(data, 'state')}: {_text(data, 'message')}"
        if _text(data, "approval"):
            return f"approval {_text(data, 'approval')} {_text(data, 'state')}"
    return None


def _turn(event: MailboxEvent) -> str | None:
    phase, data = _text(event.data, "phase"), event.data
    if phase == "begun":
        again = data.get("attempt")
        attempt = f", attempt {again}" if isinstance(again, int) and again > 1 else ""
        return f"turn {event.turn} began: a message from {event.source or 'somewhere'}{attempt}"
    if phase == "ended":
        return f"turn {event.turn} ended: {_text(data, 'outcome') or 'somehow'}"
    return None


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _time(entry_id: str) -> datetime:
    milliseconds = entry_id.partition("-")[0]
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
