"""When a changed status is worth a write: at most one a second, trifles never on their own."""

from __future__ import annotations

from typing import Final

from agentsession_core.api import AgentSessionStatus, Phase, Reason

INTERVAL: Final = 1.0
# A place in the queue is written at most so often, and only once it has changed by a tenth: it moves
# with every start, for everybody. The exact one is in Redis.
QUEUE_INTERVAL: Final = 30.0
_TRIFLES: Final = frozenset({"last_activity_time"})
# How long passing phases have to hold until they are written. From nothing to an answer takes less
# than two seconds where image and volume are there, and a run takes one from its drain until
# Kubernetes says that its container has ended.
_IN_PASSING: Final = {
    Phase.STARTING: 2.0,
    Phase.PENDING: 2.0,
    Phase.QUEUED: 2.0,
    Phase.WORKING: 2.0,
    Phase.SUSPENDING: 3.0,
}


def write_delay(
    before: AgentSessionStatus,
    after: AgentSessionStatus,
    now: float,
    last_write: float,
    changed_since: float,
) -> float | None:
    """Seconds until `after` should be written: 0 for now, None for never (on its own).

    A passing phase waits for its time after the first unwritten change (`changed_since`): most
    often the next one has replaced it by then, and a life costs the API server half the writes.
    A new session's first one waits, too: it would be written while the kubelet starts the pod.
    """
    changed = {
        name
        for name in AgentSessionStatus.model_fields
        if getattr(before, name) != getattr(after, name)
    }
    if not changed - _TRIFLES:
        return None
    quiet = max(0.0, last_write + INTERVAL - now)
    if before.phase is after.phase is Phase.QUEUED:
        return quiet if _queue_has_moved(before, after, now - last_write) else None
    pause = _IN_PASSING.get(after.phase) if after.phase else None
    answered = before.last_handled_message_id != after.last_handled_message_id
    if pause is not None and not answered:
        return max(quiet, changed_since + pause - now)
    return quiet


def _queue_has_moved(before: AgentSessionStatus, after: AgentSessionStatus, quiet: float) -> bool:
    """Whether a queued session's status says something new, or its place is worth a write."""
    if _without_place(before) != _without_place(after):
        return True
    shown, place = before.queue_position or 0, after.queue_position or 0
    return quiet >= QUEUE_INTERVAL and abs(shown - place) >= max(1, shown // 10)


def _without_place(status: AgentSessionStatus) -> AgentSessionStatus:
    conditions = [
        condition.model_copy(update={"message": ""})
        if condition.reason is Reason.QUEUED
        else condition
        for condition in status.conditions or ()
    ]
    plain = dict.fromkeys((*_TRIFLES, "queue_position"))
    return status.model_copy(update={**plain, "conditions": conditions})
