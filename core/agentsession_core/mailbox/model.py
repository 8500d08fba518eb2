"""What a mailbox holds, as values. Times are seconds since the epoch, by Redis' clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agentsession_core.api.values import TurnOutcome


class RunState(StrEnum):
    OPEN = "open"
    DRAINED = "drained"
    ENDED = "ended"


@dataclass(frozen=True)
class RunRecord:
    """The mailbox's current run. `run` is `<session uid>/<number>`.

    `why` is the reason for which it was told to end (DRAINED) or is being ended (ENDED);
    `last_turn` says that it is drained with the end of the running turn. `skill_problem`: what is wrong
    with the skills that its template names, "" if nothing is.
    """

    run: str
    state: RunState
    begun_at: float
    pod_uid: str | None = None
    pod: str | None = None
    hello_at: float | None = None
    drained_at: float | None = None
    bye_at: float | None = None
    why: str | None = None
    last_turn: bool = False
    launch: str = "cold"
    turns: int = 0
    skill_problem: str = ""


@dataclass(frozen=True)
class TurnRecord:
    """The turn that runs, or that a dead run left behind.

    `cut_run` is the newest run that ended in its middle, `deaths` how many did by their own doing and
    `evictions` how many were taken away. `cancelled_at`: when a person stopped it.
    """

    turn: str
    run: str
    source: str
    attempt: int
    started_at: float
    deadline: float
    messages: int = 1
    cancelled_at: float | None = None
    cut_run: str | None = None
    deaths: int = 0
    evictions: int = 0


@dataclass(frozen=True)
class LastTurnRecord:
    """The turn that ended last.

    `model_status` is the HTTP status of the model call that failed it; `model_code` (the API's type
    of error, or the gateway's own code) and `model_detail` say more. All three are the gateway's
    words; `error_code` and `error_message` are the runner's, which the agent could forge. `entry` is
    the place of its newest message in `incoming`; `came_at` is when the oldest came, `launch` what that
    found.
    """

    turn: str
    run: str
    source: str
    outcome: TurnOutcome
    reply: str
    error_code: str
    error_message: str
    model_status: int | None
    started_at: float
    finished_at: float
    message_id: str
    model_code: str = ""
    model_detail: str = ""
    entry: str = ""
    came_at: float | None = None
    launch: str = ""


@dataclass(frozen=True)
class UsageRecord:
    """Sums over the mailbox's life. Cost in billionths of a US dollar; None where a price is missing."""

    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nanousd: int | None = None


@dataclass(frozen=True)
class FailureRecord:
    """Runs that ended before their time since the last finished turn or orderly end."""

    count: int
    run: str
    reason: str
    at: float
    message: str = ""


def later_entry(one: str | None, other: str | None) -> str | None:
    """The later of two places in a stream (`<milliseconds>-<number>`)."""
    return max(filter(None, (one, other)), key=_entry_order, default=None)


def _entry_order(entry: str) -> tuple[int, int]:
    milliseconds, _, number = entry.partition("-")
    try:
        return int(milliseconds), int(number or "0")
    except ValueError:
        return 0, 0


@dataclass(frozen=True)
class ExportRecord:
    """Somebody waits for the workspace: `id`, the waiting gateway's address, and the run that was
    begun since, if one was."""

    id: str
    address: str
    run: str | None = None


@dataclass(frozen=True)
class MailboxState:
    """One consistent look at a mailbox.

    `session_uid` and `user`: whose it is; `reopened`: a message came after it was closed. `source` and
    `chat`: where its newest chat message came from, None where none ever did. `warned`: the end (whole
    seconds) of which its people were told, at `warned_at`. `rebuilt_at`: when it was last made from what
    the API server knows; `handled`: the place in `incoming` up to which everything had its answer then;
    `lost_message`: what nobody answered before, to be told. `waiting_since`: when its oldest message
    came; `held_told`: the chats of what waits know that the session sleeps by hand. `ended`: the uid of the
    session that ended with it last.
    """

    waiting: int
    closed: bool
    session_uid: str | None
    conversation: int
    agent_session_id: str | None
    run: RunRecord | None
    turn: TurnRecord | None
    last: LastTurnRecord | None
    failure: FailureRecord | None
    usage: UsageRecord
    prompt_hash: str | None
    last_activity: float | None
    epoch: str | None
    now: float
    waiting_since: float | None = None
    held_told: bool = False
    export: ExportRecord | None = None
    user: str | None = None
    reopened: bool = False
    source: str | None = None
    chat: str | None = None
    warned: int | None = None
    warned_at: float | None = None
    rebuilt_at: float | None = None
    handled: str | None = None
    lost_message: str | None = None
    ended: str | None = None

    @property
    def handled_entry(self) -> str | None:
        """Up to which place in `incoming` everything has its answer."""
        return later_entry(self.last.entry if self.last else None, self.handled)

    @property
    def stopped(self) -> bool:
        """Whether a person has stopped the turn that is recorded."""
        return self.turn is not None and self.turn.cancelled_at is not None

    @property
    def waiting_behind_turn(self) -> int:
        """Messages that no turn has taken up yet; `waiting` counts those of the running one, too."""
        return max(0, self.waiting - (self.turn.messages if self.turn else 0))

    def as_seen_by_others(self) -> MailboxState:
        """What a session that does not hold the mailbox may know: the time, and nothing else."""
        return self.unused(self.epoch, self.now)

    @classmethod
    def unused(cls, epoch: str | None, now: float) -> MailboxState:
        """A mailbox in which nothing has happened."""
        return cls(
            waiting=0,
            closed=False,
            session_uid=None,
            conversation=1,
            agent_session_id=None,
            run=None,
            turn=None,
            last=None,
            failure=None,
            usage=UsageRecord(),
            prompt_hash=None,
            last_activity=None,
            epoch=epoch,
            now=now,
        )


@dataclass(frozen=True)
class MailboxEvent:
    """An entry of a mailbox's events. `kind` is one of wire.EventKind, said by the runner, or
    `turn`, said by the scripts: `data` is `{phase: begun|ended, messages, ...}` then. `seq` is the
    runner's count within the turn, 0 for what the scripts say."""

    id: str
    turn: str
    kind: str
    source: str
    data: dict[str, Any]
    seq: int = 0


@dataclass(frozen=True)
class ResultRecord:
    """A turn's result as it is committed."""

    outcome: TurnOutcome
    text: str
    agent_session_id: str | None = None
    error_code: str = ""
    error_message: str = ""
    files: tuple[int, ...] = ()


@dataclass(frozen=True)
class SessionHint:
    """An entry of `sessions:events`: something happened in that mailbox, look at its state."""

    id: str
    mailbox: str
    kind: str
