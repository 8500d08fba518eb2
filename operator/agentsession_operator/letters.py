"""What becomes of messages that no run answers: cut off, given up, stopped or held. Pure."""

from __future__ import annotations

from typing import Final

from agentsession_core.api import (
    ConditionStatus,
    ConditionType,
    Reason,
    TurnOutcome,
)
from agentsession_core.mailbox.letters import GivenUp
from agentsession_core.mailbox.model import TurnRecord
from agentsession_operator.assess import Assessment
from agentsession_operator.conditions import ready
from agentsession_operator.times import backoff_until
from agentsession_operator.world import Action, CutOff, EndTurn, GiveUp, TellHeld, World

# To whoever wrote: what they can see of it, without names of pods and nodes.
_WHAT_HAPPENED: Final = {
    Reason.RUN_OUT_OF_MEMORY: "it needed more memory than it may have",
    Reason.RUN_DEADLINE_EXCEEDED: "it took longer than it may",
    Reason.RUN_EVICTED: "it needed more space than it may have",
}
HELD_TEXT: Final = (
    "The agent has been put to sleep by hand. Your message is kept and will be answered when the "
    "agent is woken up again."
)


def cut_off(world: World, found: Assessment) -> list[Action]:
    """Counts the run that ended in the middle of a turn, before another has the turn."""
    turn, record = world.mailbox.turn, found.record
    if turn is None or record is None or not _is_over(found):
        return []
    if turn.run != record.run or turn.cut_run == record.run:
        return []
    return [CutOff(record.run, own=found.failure is not None and found.failure.own)]


def settle_turn(world: World, found: Assessment) -> list[Action]:
    """Ends the turn that a dead run left behind, if no other run is to have it."""
    turn = world.mailbox.turn
    if turn is None or not _is_over(found) or turn.cut_run != turn.run:
        return []
    if turn.cancelled_at is not None:
        message = "the turn was stopped on request; its run had ended before it could"
        return [EndTurn(turn.run, turn.turn, message, TurnOutcome.CANCELLED)]
    limits = world.limits
    if turn.deaths < limits.max_deaths and turn.evictions < limits.max_evictions:
        return []
    return [GiveUp(_of_turn(world, turn))]


def give_up_waiting(world: World, found: Assessment) -> list[Action]:
    """Gives up what has waited too long for a run that cannot start."""
    until = given_up_at(world, found)
    if until is None or world.ends_now < until:
        return []
    verdict = ready(world, found)
    hours = world.limits.message_lifetime / 3600
    record = world.mailbox.run
    return [
        GiveUp(
            GivenUp(
                run=record.run if record else "",
                greeted=record is not None and record.hello_at is not None,
                before=world.ends_now - world.limits.message_lifetime,
                reason=verdict.reason.value,
                message=f"no run could start for {hours:g} h: {verdict.message}"[:900],
                text=f"Your message was given up: for {hours:g} hours the agent could not be "
                "started. Whoever looks after it can see why. Please send it again later.",
            )
        )
    ]


def given_up_at(world: World, found: Assessment) -> float | None:
    """When the oldest message is given up, in seconds since the epoch; None while it has a chance.

    A session that sleeps by hand keeps its messages: it is no failure that nothing starts, and their
    time begins when it is awake again. However old a message is (the operator was away, Redis was
    restored), a start is tried before.
    """
    oldest = world.mailbox.waiting_since
    if oldest is None or not world.holds_mailbox or found.connected:
        return None
    if world.suspended_by_hand:
        return None
    end = max(oldest, _awake_since(world)) + world.limits.message_lifetime
    if found.live and found.record is not None:
        return max(end, found.record.begun_at + world.limits.hello_timeout)
    is_barred = found.refusal or found.workspace or found.may_run or not world.place.free
    return end if is_barred or world.now < backoff_until(world) else None


def _awake_since(world: World) -> float:
    """When the session was last seen to wake up, in seconds since the epoch; 0 while it sleeps."""
    for condition in world.session.status.conditions or ():
        if condition.type is ConditionType.SUSPENDED and condition.status is ConditionStatus.FALSE:
            return condition.last_transition_time.timestamp()
    return 0.0


def tell_held(world: World, found: Assessment) -> list[Action]:
    """Tells people once that the session sleeps by hand and that what they wrote is kept."""
    box = world.mailbox
    if not world.suspended_by_hand or not world.holds_mailbox:
        return []
    with_turn = _is_over(found)
    waiting = box.waiting if with_turn else box.waiting_behind_turn
    return [TellHeld(HELD_TEXT, with_turn)] if waiting and not box.held_told else []


def _is_over(found: Assessment) -> bool:
    """Whether no container of the newest run, or of one before, can still do anything."""
    return not found.live and not found.may_run


def _of_turn(world: World, turn: TurnRecord) -> GivenUp:
    failure, limits = world.mailbox.failure, world.limits
    reason = failure.reason if failure else Reason.RUN_EVICTED.value
    taken = turn.deaths < limits.max_deaths
    times = f"{turn.evictions if taken else turn.deaths} times"
    why = f": {failure.message}" if failure and failure.message and not taken else ""
    happened = _WHAT_HAPPENED.get(_known(reason), "it broke off in the middle of the work")
    return GivenUp(
        run=turn.run,
        turn=turn.turn,
        max_deaths=limits.max_deaths,
        max_evictions=limits.max_evictions,
        reason=Reason.RUN_EVICTED.value if taken else reason,
        message=(
            f"the run was taken away in the middle of the turn {times}"
            if taken
            else f"the run ended in the middle of the turn {times}{why}"
        )[:900],
        text=f"Your message was given up: the agent's machine was taken away {times}. Please send "
        "it again."
        if taken
        else f"Your message was given up: the agent tried {times}, and each time {happened}. It "
        "goes on with your next message; asking for less at once may help.",
    )


def _known(reason: str) -> Reason:
    return Reason(reason) if reason in set(Reason) else Reason.BACKING_OFF
