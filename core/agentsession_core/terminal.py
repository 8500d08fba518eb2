"""The terminal protocol: what `kubectl agents` and the gateway say to each other.

Paths, all below `/v1/terminal/sessions/<name>` at the gateway, all with `Authorization: Bearer
<token>` of ServiceAccount `agentsession-cli` for the audience `agentsession-terminal`; its namespace
is the sessions':

- `POST /messages` `SendMessage` → `MessageReceipt`, idempotent by the message's id
- `GET /events?after=<id>` → server-sent events named by `TerminalEventKind`, each with its id and a
  `TerminalEvent`; without `after` from now on
- `GET /history` → `History`: the turns that are still known and the id from which events go on
- `GET /last` → `Last`
- `POST /cancel` `Cancel` → `CancelReceipt`
- `POST /new` `New` → `NewReceipt`, idempotent by the wish's id; `POST /keep` → 204
- `GET /export` → the workspace as a tar
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import Field

from agentsession_core.wire import WireModel

PREFIX: Final = "/v1/terminal/sessions"
SOURCE: Final = "terminal"
# Whose words and answers a terminal shows; of others it says that there was a turn (docs/adr/0009).
OPEN_SOURCES: Final = frozenset({SOURCE, "prompt"})
TEXT_LIMIT: Final = 131_072
MESSAGE_ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{7,63}$"


class SendMessage(WireModel):
    """A message of a person at a terminal. The same id again is the same message."""

    id: str = Field(pattern=MESSAGE_ID_PATTERN)
    text: str = Field(min_length=1, max_length=TEXT_LIMIT)


class MessageReceipt(WireModel):
    """The message waits, or (`new` false) was known before.

    `reopened`: its session was just being deleted; it waits for another session of that mailbox.
    """

    id: str
    new: bool
    conversation: int
    reopened: bool = False


class TerminalEventKind(StrEnum):
    """`begun` and `ended` of every turn; the others of turns of open sources only.

    `said` is what the agent says in the middle of its turn. A `notice` is the system's own word about
    messages that get no answer.
    """

    BEGUN = "begun"
    DELTA = "delta"
    TOOL = "tool"
    NOTE = "note"
    SAID = "said"
    NOTICE = "notice"
    ENDED = "ended"


class ShownMessage(WireModel):
    """A message of a turn; no text where its source is not open. At most its first 4 KiB."""

    id: str
    text: str | None = None


class TerminalEvent(WireModel):
    """Something that happened. `text` is the delta, the tool's summary, the note, what is said or the
    answer."""

    turn: str
    source: str
    text: str = ""
    name: str = ""
    messages: tuple[ShownMessage, ...] = ()
    attempt: int = 0
    outcome: str = ""
    error: str = ""
    at: float | None = None


class HistoryTurn(WireModel):
    """One turn as it is remembered. Times in seconds since the epoch."""

    turn: str
    source: str
    messages: tuple[ShownMessage, ...] = ()
    outcome: str | None = None
    text: str = ""
    error: str = ""
    began_at: float | None = None
    ended_at: float | None = None


class History(WireModel):
    """Turns, oldest first; `cursor` is the event id to go on after. `running` is the open turn."""

    turns: tuple[HistoryTurn, ...]
    cursor: str
    running: str | None
    waiting: int
    conversation: int


class Last(WireModel):
    """The newest finished turn; `shown` is false where its answer belongs to another source."""

    turn: str | None = None
    source: str | None = None
    outcome: str | None = None
    text: str = ""
    error: str = ""
    shown: bool = True
    started_at: float | None = None
    finished_at: float | None = None


class Cancel(WireModel):
    """Which turn to stop; the running one if none is named."""

    turn: str | None = Field(default=None, max_length=128)


class CancelReceipt(WireModel):
    """The turn that is being stopped; None if none (or another) runs."""

    turn: str | None


class New(WireModel):
    """The wish to begin a conversation. The same id again is the same wish."""

    id: str = Field(pattern=MESSAGE_ID_PATTERN)


class NewReceipt(WireModel):
    """The number of the conversation that the next message begins."""

    conversation: int
