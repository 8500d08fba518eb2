"""The life of a session as one pure function."""

from __future__ import annotations

from typing import Final

from agentsession_core.api import Reason, TurnOutcome
from agentsession_core.mailbox.exports import EXPORT_SECONDS
from agentsession_core.mailbox.model import RunRecord, RunState
from agentsession_operator.assess import Assessment, assess, claim_owner_is_wrong, is_over
from agentsession_operator.complaints import next_question
from agentsession_operator.failures import (
    RunEnd,
    hello_deadline,
    must_end,
    overrun_at,
    overrun_turn,
)
from agentsession_operator.letters import (
    cut_off,
    give_up_waiting,
    given_up_at,
    settle_turn,
    tell_held,
)
from agentsession_operator.standing import give_back, may_drain_for_others, standing
from agentsession_operator.status import describe
from agentsession_operator.times import (
    backoff_until,
    deadline_near,
    expiration,
    is_expired,
    nominal_end,
    state_lost_until,
    suspension,
    warning,
)
from agentsession_operator.world import (
    Action,
    ConfirmGone,
    CountFailure,
    CreateClaim,
    DeleteJob,
    DeleteSession,
    Drain,
    EndRun,
    EndTurn,
    KeepRun,
    Plan,
    ReopenMailbox,
    SetClaimOwner,
    StartRun,
    TellLost,
    WarnOfEnd,
    World,
)

# How long a run without a Job is taken for one that is being started.
BEGUN_SECONDS: Final = 60.0


def plan(world: World) -> Plan:
    """What to do about a session now: nothing but the World decides."""
    found = assess(world)
    actions = _actions(world, found)
    return Plan(
        actions,
        describe(world, found, actions),
        _next_look(world, found, actions),
        outdated=found.outdated,
        settled=found.settled,
        standing=standing(world, found, actions),
    )


def _actions(world: World, found: Assessment) -> tuple[Action, ...]:
    if world.session.metadata.deletion_timestamp is not None:
        return ()
    if world.holds_mailbox and is_expired(world, found):
        return (DeleteSession(world.session.metadata.resource_version),)
    actions: list[Action] = []
    if world.mailbox.closed and world.holds_mailbox:
        actions.append(ReopenMailbox())
    actions += _words(world, found)
    if claim_owner_is_wrong(world) and world.children.claim is not None:
        claim = world.children.claim
        actions.append(SetClaimOwner(claim.name, claim.uid, claim.owner_uid is None))
    actions += tell_held(world, found)
    given_up = give_up_waiting(world, found)
    if given_up:
        # What is left to do shows once they are gone.
        return (*actions, *given_up)
    actions += _live_actions(world, found) if found.live else _start_actions(world, found)
    return tuple(actions)


def _words(world: World, found: Assessment) -> list[Action]:
    """What the session's people have to be told now."""
    said: list[Action] = []
    if world.mailbox.lost_message is not None:
        said.append(TellLost(world.mailbox.lost_message))
    when, end = warning(world, found), nominal_end(world, found)
    if when is not None and end is not None and world.ends_now >= when:
        said.append(WarnOfEnd(int(end)))
    return said


def _live_actions(world: World, found: Assessment) -> list[Action]:
    record, job = found.record, found.job
    if record is None or job is None:
        return []
    if record.state is RunState.ENDED:
        return [DeleteJob(job.name, job.uid)]
    end = must_end(world, record, job, found.pod) or give_back(world, found)
    if end:
        return [*_ends(world, record, end), DeleteJob(job.name, job.uid)]
    if record.state is RunState.OPEN:
        return _drain_actions(world, found, record)
    return []


def _ends(world: World, record: RunRecord, end: RunEnd) -> list[Action]:
    turn = world.mailbox.turn
    ended: list[Action] = []
    if turn is not None and overrun_turn(world, record):
        outcome = TurnOutcome.CANCELLED if world.mailbox.stopped else TurnOutcome.TIMED_OUT
        ended.append(EndTurn(record.run, turn.turn, end.message, outcome))
    return [*ended, EndRun(record.run, end.reason, end.message, end.counted)]


def _drain_actions(world: World, found: Assessment, record: RunRecord) -> list[Action]:
    working = world.mailbox.turn is not None
    why = _forced_end(world, found)
    if why is not None:
        return [] if working and record.last_turn else [Drain(record.run, force=True, why=why)]
    if record.last_turn:
        return [KeepRun(record.run)]
    if not working and not found.wanted:
        why = Reason.LIFETIME_OVER if is_over(world) else Reason.IDLE
        return [Drain(record.run, force=False, why=why)]
    if may_drain_for_others(world, found):
        return [Drain(record.run, force=False, why=Reason.YIELDED)]
    return []


def _forced_end(world: World, found: Assessment) -> Reason | None:
    """Why the run has to end although messages may wait; a running turn is its last then."""
    working = world.mailbox.turn is not None
    if world.suspended_by_hand:
        return Reason.SUSPENDED_BY_USER
    if found.outdated and world.may_roll and (not working or world.mailbox.waiting_behind_turn):
        # A run that is never without work would never end otherwise.
        return Reason.OUTDATED
    if not working and deadline_near(world, found):
        return Reason.RUN_DEADLINE_NEAR
    return None


def _start_actions(world: World, found: Assessment) -> list[Action]:
    actions = _next_start(world, found)
    if actions and found.record is not None and found.pod is None:
        # Its Job's POST may have lost its answer, or another operator may have made it just now: what
        # the watches have not shown yet would get a second pod on its workspace.
        return [ConfirmGone(), *actions]
    return actions


def _next_start(world: World, found: Assessment) -> list[Action]:
    ended = _ended_actions(world, found) or settle_turn(world, found)
    if ended:
        return ended
    if not (found.wanted or found.export_waits) or found.may_run or found.workspace:
        return []
    if world.now < backoff_until(world) or not world.place.free:
        return []
    actions: list[Action] = []
    if world.children.claim is None:
        actions.append(CreateClaim())
    expected = world.mailbox.run.run if world.mailbox.run else ""
    resumes = world.mailbox.agent_session_id is not None
    if found.export_waits and not (found.wanted and found.work_waits):
        held = world.suspended_by_hand
        number = found.newest_run + 1
        return [*actions, StartRun(number, expected, resumes, export_only=True, held=held)]
    number = found.newest_run if _is_begun(world, found) else found.newest_run + 1
    actions.append(StartRun(number, expected, resumes))
    return actions


def _ended_actions(world: World, found: Assessment) -> list[Action]:
    failure, record = found.failure, found.record
    ended = cut_off(world, found)
    if failure and failure.counted and record and not _is_counted(world, record.run):
        ended.append(CountFailure(record.run, failure.reason, failure.message))
    return ended


def _is_begun(world: World, found: Assessment) -> bool:
    """Whether the newest run was begun just now and its Job is still to be made.

    Making it again under the same name is safe, whoever else does; another number would not be.
    """
    record = found.record
    return (
        record is not None
        and record.run == world.run_id(found.newest_run)
        and record.state is RunState.OPEN
        and record.hello_at is None
        and found.job is None
        and found.pod is None
        and not _is_counted(world, record.run)
        and world.now - record.begun_at < BEGUN_SECONDS
    )


def _is_counted(world: World, run: str) -> bool:
    return world.mailbox.failure is not None and world.mailbox.failure.run == run


def _next_look(world: World, found: Assessment, actions: tuple[Action, ...]) -> float | None:
    """The earliest moment at which the same World would be decided otherwise."""
    if world.session.metadata.deletion_timestamp is not None:
        return None
    moments = [
        suspension(world, found),
        warning(world, found),
        expiration(world, found),
        given_up_at(world, found),
        state_lost_until(world),
    ]
    if world.mailbox.export is not None:
        # Its key goes by itself when its gateway has died, and says so to nobody.
        moments.append(world.ends_now + EXPORT_SECONDS)
    if found.live and found.record is not None:
        moments += _moments_of_run(world, found, found.record)
    elif found.wanted and not actions:
        # It is over by Redis' clock alone.
        moments.append(backoff_until(world) - world.now + world.ends_now)
    now = world.ends_now
    return min((when for when in moments if when is not None and when > now), default=None)


def _moments_of_run(world: World, found: Assessment, record: RunRecord) -> list[float | None]:
    turn = world.mailbox.turn
    moments = [
        record.begun_at + world.effective.active_deadline - world.effective.turn_timeout,
        overrun_at(world, turn) if turn else None,
    ]
    if record.state is RunState.DRAINED and record.drained_at is not None:
        moments.append(record.drained_at + world.limits.drain_grace)
    if record.hello_at is None:
        moments += [
            hello_deadline(world, record, found.pod),
            next_question(record, world.ends_now),
            record.begun_at + world.limits.placement,
        ]
    return moments
