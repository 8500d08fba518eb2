"""What a terminal is shown of a mailbox's events. Pure functions.

Deny is the default: an event whose source is not known to be open is shown as nothing, or, at the
beginning and end of a turn, as a turn of its source without its words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from agentsession_core.mailbox.model import LastTurnRecord, MailboxEvent
from agentsession_core.terminal import (
    OPEN_SOURCES,
    HistoryTurn,
    Last,
    ShownMessage,
    TerminalEvent,
    TerminalEventKind,
)
from agentsession_core.wire import EventKind

TURN = "turn"
NOTICE = "notice"
RESPOND = "respond"
_PHASES = {"begun": TerminalEventKind.BEGUN, "ended": TerminalEventKind.ENDED}


def is_open(source: str) -> bool:
    """Whether a terminal shows the words of turns of that source."""
    return source in OPEN_SOURCES


def shown(event: MailboxEvent) -> tuple[TerminalEventKind, TerminalEvent] | None:
    """The event as a terminal gets it, or None where it gets nothing."""
    if event.kind == TURN:
        kind = _PHASES.get(_text(event.data, "phase"))
        return (kind, _of_turn(event)) if kind else None
    if not is_open(event.source):
        return None
    if event.kind == NOTICE:
        notice = _plain(event, _text(event.data, "text"))
        messages = _messages(event.data.get("messages"), mine=False)
        return TerminalEventKind.NOTICE, notice.model_copy(update={"messages": messages})
    if event.kind == RESPOND:
        return TerminalEventKind.SAID, _plain(event, _text(event.data, "text"))
    if event.kind == EventKind.DELTA:
        return TerminalEventKind.DELTA, _plain(event, _text(event.data, "text"))
    if event.kind == EventKind.TOOL:
        tool = _plain(event, _text(event.data, "summary"))
        return TerminalEventKind.TOOL, tool.model_copy(update={"name": _text(event.data, "name")})
    if event.kind == EventKind.STATE and _text(event.data, "note"):
        return TerminalEventKind.NOTE, _plain(event, _text(event.data, "note"))
    return None


def is_cut(event: MailboxEvent) -> bool:
    """Whether the event holds only the beginning of an answer."""
    return event.kind == TURN and event.data.get("truncated") is True


def completed(event: MailboxEvent, last: LastTurnRecord | None) -> MailboxEvent:
    """A cut answer with its whole text, if its turn is still the newest finished one."""
    if last is None or last.turn != event.turn:
        return event
    return replace(event, data={**event.data, "text": last.reply, "truncated": False})


def history_of(events: Iterable[MailboxEvent]) -> list[HistoryTurn]:
    """The turns that the events tell of, oldest first."""
    turns: dict[str, HistoryTurn] = {}
    for event in events:
        seen = shown(event) if event.kind == TURN else None
        if seen is None:
            continue
        kind, told = seen
        turn = turns.get(told.turn) or HistoryTurn(turn=told.turn, source=told.source)
        if kind is TerminalEventKind.BEGUN:
            change: dict[str, Any] = {"messages": told.messages, "began_at": told.at}
        else:
            change = {
                "messages": turn.messages or told.messages,
                "outcome": told.outcome,
                "text": told.text,
                "error": told.error,
                "ended_at": told.at,
            }
        turns[told.turn] = turn.model_copy(update=change)
    return list(turns.values())


def last_of(last: LastTurnRecord | None) -> Last:
    """The newest finished turn, without its words if they belong to another source."""
    if last is None:
        return Last()
    mine = is_open(last.source)
    return Last(
        turn=last.turn,
        source=last.source,
        outcome=last.outcome,
        text=last.reply if mine else "",
        error=last.error_message if mine else "",
        shown=mine,
        started_at=last.started_at,
        finished_at=last.finished_at,
    )


def encode(entry_id: str, kind: TerminalEventKind, event: TerminalEvent) -> bytes:
    """A server-sent event; its id is where a lost connection goes on."""
    # ASCII alone: readers of lines take more characters for an end of line than this protocol does.
    data = json.dumps(event.to_wire())
    return f"id: {entry_id}\nevent: {kind}\ndata: {data}\n\n".encode(errors="replace")


def _of_turn(event: MailboxEvent) -> TerminalEvent:
    mine, data = is_open(event.source), event.data
    return TerminalEvent(
        turn=event.turn,
        source=event.source,
        text=_text(data, "text") if mine else "",
        error=_text(data, "errorMessage") if mine else "",
        messages=_messages(data.get("messages"), mine=mine),
        attempt=data["attempt"] if isinstance(data.get("attempt"), int) else 0,
        outcome=_text(data, "outcome"),
        at=_seconds(data.get("at")),
    )


def _plain(event: MailboxEvent, text: str) -> TerminalEvent:
    return TerminalEvent(turn=event.turn, source=event.source, text=text)


def _messages(value: Any, *, mine: bool) -> tuple[ShownMessage, ...]:
    found = []
    for item in value if isinstance(value, list) else ():
        # Where a turn ended its messages are ids alone.
        own, text = (item.get("id"), item.get("text")) if isinstance(item, dict) else (item, None)
        if isinstance(own, str):
            fits = mine and isinstance(text, str)
            found.append(ShownMessage(id=own, text=text if fits else None))
    return tuple(found)


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _seconds(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
