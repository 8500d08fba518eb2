"""The life of a session as one pure function."""

from __future__ import annotations

from agentsession_core.api import OperatingMode
from agentsession_core.mailbox.model import RunState
from agentsession_operator.assess import Assessment, assess, claim_owner_is_wrong
from agentsession_operator.builders.job import config_hash
from agentsession_operator.status import describe
from agentsession_operator.times import (
    backoff_until,
    deadline_near,
    expiration,
    is_expired,
    suspension,
)
from agentsession_operator.world import (
    Action,
    CountFailure,
    CreateClaim,
    DeleteJob,
    DeleteSession,
    Drain,
    Plan,
    ReopenMailbox,
    SetClaimOwner,
    StartRun,
    World,
)


def plan(world: World) -> Plan:
    """What to do about a session now: nothing but the World decides."""
    found = assess(world)
    actions = _actions(world, found)
    return Plan(actions, describe(world, found, actions), _next_look(world, found, actions))


def _actions(world: World, found: Assessment) -> tuple[Action, ...]:
    if world.session.metadata.deletion_timestamp is not None:
        return ()
    if world.holds_mailbox and is_expired(world, found):
        return (DeleteSession(world.session.metadata.resource_version),)
    actions: list[Action] = []
    if world.mailbox.closed and world.holds_mailbox:
        actions.append(ReopenMailbox())
    if claim_owner_is_wrong(world) and world.children.claim is not None:
        claim = world.children.claim
        actions.append(SetClaimOwner(claim.name, claim.uid, claim.owner_uid is None))
    actions += _live_actions(world, found) if found.live else _start_actions(world, found)
    return tuple(actions)


def _live_actions(world: World, found: Assessment) -> list[Action]:
    record, job = found.record, found.job
    if record is None or job is None:
        return []
    why = _must_end(world, found)
    if why:
        return [DeleteJob(job.name, job.uid, why)]
    if record.state is RunState.OPEN and world.mailbox.turn is None:
        if world.session.spec.operating_mode is OperatingMode.SUSPENDED or deadline_near(
            world, found
        ):
            return [Drain(record.run, force=True)]
        if not found.wanted:
            return [Drain(record.run, force=False)]
    return []


def _must_end(world: World, found: Assessment) -> str | None:
    """Why the live run's Job has to be deleted, if it has."""
    record, job, turn, limits = found.record, found.job, world.mailbox.turn, world.limits
    if record is None or job is None:
        return None
    if turn and world.now >= turn.deadline + limits.turn_overrun:
        return "the turn is over its timeout and its runner does not end it"
    drained = record.drained_at if record.state is RunState.DRAINED else None
    if drained is not None and world.now >= drained + limits.drain_grace:
        return "the drained run does not exit"
    if record.hello_at is None:
        if job.config_hash != config_hash(world.effective, world.gateway_url):
            return "its settings changed before it said hello"
        if found.pod and found.pod.started and world.now >= record.begun_at + limits.hello_timeout:
            return "its runner does not say hello"
    return None


def _start_actions(world: World, found: Assessment) -> list[Action]:
    actions: list[Action] = []
    if found.failure and found.record and not _is_counted(world, found.record.run):
        return [CountFailure(found.record.run, found.failure.reason)]
    if not found.wanted or found.may_run or found.workspace:
        return actions
    if world.now < backoff_until(world):
        return actions
    if world.children.claim is None:
        actions.append(CreateClaim())
    expected = world.mailbox.run.run if world.mailbox.run else ""
    resumes = world.mailbox.agent_session_id is not None
    actions.append(StartRun(found.newest_run + 1, expected, resumes))
    return actions


def _is_counted(world: World, run: str) -> bool:
    return world.mailbox.failure is not None and world.mailbox.failure.run == run


def _next_look(world: World, found: Assessment, actions: tuple[Action, ...]) -> float | None:
    """The earliest moment at which the same World would be decided otherwise."""
    if world.session.metadata.deletion_timestamp is not None:
        return None
    moments = [suspension(world, found), expiration(world, found)]
    record, turn = found.record, world.mailbox.turn
    if found.live and record is not None:
        if turn:
            moments.append(turn.deadline + world.limits.turn_overrun)
        if record.drained_at is not None:
            moments.append(record.drained_at + world.limits.drain_grace)
        if record.hello_at is None:
            moments.append(record.begun_at + world.limits.hello_timeout)
        moments.append(
            record.begun_at + world.effective.active_deadline - world.effective.turn_timeout
        )
    elif found.wanted and not actions:
        moments.append(backoff_until(world))
    return min((when for when in moments if when is not None and when > world.now), default=None)
