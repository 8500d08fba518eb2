"""Everything a decision is made from, and the decision itself, as values."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from agentsession_core import naming
from agentsession_core.api import (
    AgentSession,
    AgentSessionStatus,
    AgentType,
    OperatingMode,
    Reason,
    TurnOutcome,
)
from agentsession_core.effective import Effective
from agentsession_core.mailbox.letters import GivenUp
from agentsession_core.mailbox.model import MailboxState
from agentsession_operator.builders.services import Services
from agentsession_operator.model import Children


@dataclass(frozen=True)
class Limits:
    """The operator's own limits. Times in seconds; `message_lifetime`: how long a message may wait
    for a run that cannot start; a turn may be cut off fewer than `max_deaths` or `max_evictions` times.
    """

    drain_grace: float
    backoff_base: float
    backoff_limit: float
    hello_timeout: float
    placement: float = 60.0
    turn_overrun: float = 30.0
    message_lifetime: float = 86_400.0
    max_deaths: int = 3
    max_evictions: int = 10

    def backoff(self, failures: int) -> float:
        """How long to wait after so many failures in a row, at least one."""
        return min(self.backoff_base * 2.0 ** min(failures - 1, 30), self.backoff_limit)


@dataclass(frozen=True)
class Problem:
    """Something that stands in the way, in a word and in words for people."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Refusal:
    """The API server refused to make a claim or a Job; tried again at `until` (seconds)."""

    problem: Problem
    until: float


@dataclass(frozen=True)
class Place:
    """What the queue for runs says to a session.

    `free`: it may start a run. `must_yield`: others wait, its run is to end if nothing is lost by it.
    `position` of `waiting` in its queue, None before the first decision; `places` are all that
    sessions of its kind (`task` or chat) may have.
    """

    free: bool = True
    must_yield: bool = False
    position: int | None = None
    waiting: int = 0
    places: int = 0
    task: bool = False


@dataclass(frozen=True)
class Standing:
    """Where a session stands towards that queue. Times in seconds since the epoch.

    `began_at`: when its newest run began. `waits_since`: it would start a run now, and since when its
    oldest message waits. `holds`: it has a place; then `leaving`, `idle_since` and `stuck_since` as in
    `fair_queue.Holding`. `cramped`: names the run or attempt that found no room in the cluster.
    """

    user: str
    task: bool
    began_at: float | None
    waits_since: float | None
    holds: bool
    leaving: bool
    idle_since: float | None
    stuck_since: float | None
    cramped: str | None


@dataclass(frozen=True)
class World:
    """One session and all that is known of it.

    `holds_mailbox`: no older session has the mailbox. `ignored_type`: what the template says now,
    where the session's first run has pinned another agent type. `complaint`: what Kubernetes' Events
    say about a start that hangs. `may_roll`: an outdated run may be ended now. `place`: what the queue
    for runs says. `local_now`: the operator's own clock, in seconds since the epoch.
    """

    session: AgentSession
    effective: Effective
    template_missing: bool
    ignored_type: AgentType | None
    available_types: frozenset[AgentType]
    children: Children
    mailbox: MailboxState
    holds_mailbox: bool
    limits: Limits
    services: Services
    complaint: Problem | None = None
    refused: Refusal | None = None
    may_roll: bool = True
    place: Place = Place()
    local_now: float = inf

    @property
    def now(self) -> float:
        """Redis' clock: messages, turns and runs are stamped by it."""
        return self.mailbox.now

    @property
    def ends_now(self) -> float:
        """The time by which something may be over: both clocks have come so far.

        Were Redis' clock alone believed, one that jumps ahead (or a failover to a machine whose clock is
        wrong) would end every turn, run and session at once. Too late is harmless.
        """
        return min(self.mailbox.now, self.local_now)

    @property
    def uid(self) -> str:
        return self.session.metadata.uid

    @property
    def suspended_by_hand(self) -> bool:
        """Whether a person wants the session to sleep, whatever waits for it."""
        return self.session.spec.operating_mode is OperatingMode.SUSPENDED

    def run_id(self, run: int) -> str:
        return naming.run_id(self.uid, run)


@dataclass(frozen=True)
class CreateClaim:
    """Make the workspace's claim."""


@dataclass(frozen=True)
class SetClaimOwner:
    """Make the claim go with the session, or stay."""

    name: str
    uid: str
    owned: bool


@dataclass(frozen=True)
class ConfirmGone:
    """Ask the API server itself whether a Job or pod of the session is there that no watch has shown."""


@dataclass(frozen=True)
class StartRun:
    """Make run number `run` current instead of `expected` ('' for none), then make its Job."""

    run: int
    expected: str
    resumes: bool
    # For an export alone: it is given no turn; `held` although messages wait.
    export_only: bool = False
    held: bool = False


@dataclass(frozen=True)
class CountFailure:
    """Count a run that ended before its time."""

    run: str
    reason: Reason
    message: str


@dataclass(frozen=True)
class Drain:
    """Ask the run to end; `force` even while messages wait, after the turn if one runs."""

    run: str
    force: bool
    why: Reason


@dataclass(frozen=True)
class KeepRun:
    """Let the run go on after its turn after all."""

    run: str


@dataclass(frozen=True)
class EndTurn:
    """Write down the end of a turn that nobody ends."""

    run: str
    turn: str
    message: str
    outcome: TurnOutcome = TurnOutcome.TIMED_OUT


@dataclass(frozen=True)
class CutOff:
    """Count that the run ended in the middle of its turn; `own`: by its own doing."""

    run: str
    own: bool


@dataclass(frozen=True)
class GiveUp:
    """Put messages aside as dead and tell whoever wrote."""

    letters: GivenUp


@dataclass(frozen=True)
class TellHeld:
    """Tell people that their messages wait for a session that sleeps by hand."""

    text: str
    with_turn: bool


@dataclass(frozen=True)
class EndRun:
    """Refuse the run's pod from now on; `counted` as a run that ended before its time."""

    run: str
    reason: Reason
    message: str
    counted: bool


@dataclass(frozen=True)
class DeleteJob:
    """End a run that does not end by itself."""

    name: str
    uid: str


@dataclass(frozen=True)
class WarnOfEnd:
    """Tell the session's people when it is deleted (`end`: whole seconds since the epoch)."""

    end: int


@dataclass(frozen=True)
class TellLost:
    """Tell the session's people that a message of theirs will get no answer."""

    message: str


@dataclass(frozen=True)
class DeleteSession:
    """Close the mailbox and delete the idle session."""

    resource_version: str


@dataclass(frozen=True)
class ReopenMailbox:
    """The session stays after all."""


Action = (
    CreateClaim
    | SetClaimOwner
    | ConfirmGone
    | StartRun
    | CountFailure
    | Drain
    | KeepRun
    | EndTurn
    | CutOff
    | GiveUp
    | TellHeld
    | EndRun
    | DeleteJob
    | WarnOfEnd
    | TellLost
    | DeleteSession
    | ReopenMailbox
)


@dataclass(frozen=True)
class Plan:
    """What to do, what to say, and when to look again if nothing happens (seconds since the epoch, as
    `World.ends_now` counts them).

    `outdated`: the live run was started with other settings than those in force; `settled`: it is
    neither ending nor starting. `standing` is for the queue for runs.
    """

    actions: tuple[Action, ...]
    status: AgentSessionStatus
    requeue_at: float | None
    outdated: bool
    settled: bool
    standing: Standing
