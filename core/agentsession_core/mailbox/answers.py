"""What the mailbox scripts answer to a wish, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from agentsession_core.wire import TurnMessage


class PromptAdmission(StrEnum):
    """What became of a spec.prompt: `FULL` and `OUTDATED` were not taken."""

    NEW = "new"
    KNOWN = "known"
    OUTDATED = "outdated"
    FULL = "full"


class Admission(StrEnum):
    """What became of a person's message: beyond a limit it was not taken.

    TOO_MANY, TOO_LARGE: 100 messages or 1 MiB wait; UNDELIVERED: 8 MiB of answers wait to be fetched.
    """

    NEW = "new"
    KNOWN = "known"
    TOO_MANY = "too_many"
    TOO_LARGE = "too_large"
    UNDELIVERED = "undelivered"

    @property
    def is_refusal(self) -> bool:
        """Whether the message is not in the mailbox: its sender has to be told so."""
        return self not in (Admission.NEW, Admission.KNOWN)


class EditAnswer(StrEnum):
    """What became of a person's new text for a message.

    BEGUN: a turn is at work on the old one; GONE: the old one is answered; TOO_LARGE: 1 MiB waits.
    """

    REPLACED = "replaced"
    KNOWN = "known"
    BEGUN = "begun"
    GONE = "gone"
    TOO_LARGE = "too_large"


@dataclass(frozen=True)
class IngestAnswer:
    """`conversation` is the message's; `reopened`: the mailbox was closed, its workspace is gone.

    A message that is known gets the answer of its first time.
    """

    admission: Admission
    conversation: int
    reopened: bool


class CancelAnswer(StrEnum):
    """`OTHER_TURN`: the named turn is over and another runs, which goes on."""

    CANCELLED = "cancelled"
    OTHER_TURN = "other_turn"
    NO_TURN = "no_turn"


@dataclass(frozen=True)
class Cancellation:
    """What became of the wish to end a turn; `turn` is the one that runs."""

    answer: CancelAnswer
    turn: str | None


class RunAnswer(StrEnum):
    """Why a run was or was not served. LOST: Redis has forgotten everything; the operator brings it
    back, and until then nobody is told anything that could not be taken back."""

    OK = "ok"
    STALE = "stale"
    OTHER_POD = "other_pod"
    DRAINED = "drained"
    EMPTY = "empty"
    BUSY = "busy"
    REOPENED = "reopened"
    BYE = "bye"
    TURN = "turn"
    LOST = "lost"


@dataclass(frozen=True)
class HelloAnswer:
    """Answer to a runner's hello; the rest is meaningful where `answer` is OK."""

    answer: RunAnswer
    conversation: int = 0
    agent_session_id: str | None = None
    drained: bool = False


@dataclass(frozen=True)
class RunCheck:
    """Whether a pod may speak for a run. `turn_active` includes a grace after the turn's end.

    `source` is that of the running turn's messages; `model_asked`: a model call of it has come before;
    `answering`: its answer has begun.
    """

    answer: RunAnswer
    drained: bool = False
    turn: str | None = None
    turn_active: bool = False
    source: str = ""
    model_asked: bool = False
    answering: bool = False


@dataclass(frozen=True)
class TurnGrant:
    """A turn for the run, where `answer` is TURN; `cancelled`: a person has stopped it."""

    answer: RunAnswer
    turn: str = ""
    attempt: int = 0
    conversation: int = 0
    remaining_seconds: float = 0
    messages: tuple[TurnMessage, ...] = field(default=())
    cancelled: bool = False


class CommitAnswer(StrEnum):
    COMMITTED = "committed"
    ALREADY = "already"
    UNKNOWN_TURN = "unknown_turn"
    STALE = "stale"
    LOST = "lost"
