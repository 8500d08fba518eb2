"""What `kubectl describe` tells: Events from the change of a status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agentsession_core.api import (
    AgentSession,
    AgentSessionStatus,
    Condition,
    ConditionStatus,
    ConditionType,
    Phase,
    Reason,
    TurnOutcome,
)

NORMAL: Final = "Normal"
WARNING: Final = "Warning"

# A Ready=False that is part of an ordinary life, as opposed to one that a person should see.
_QUIET: Final = frozenset(
    {
        Reason.NOTHING_TO_DO,
        Reason.WAITING_FOR_WORKSPACE,
        Reason.WAITING_FOR_POD,
        Reason.WAITING_FOR_RUNNER,
        Reason.PREVIOUS_RUN_ENDING,
        Reason.QUEUED,
        Reason.DRAINING,
        Reason.EXPORTING,
        Reason.NOT_ACCEPTED,
        Reason.TERMINATING,
    }
)


@dataclass(frozen=True)
class EventText:
    """An Event to be."""

    type: str
    reason: str
    message: str


def tell(session: AgentSession, now: AgentSessionStatus) -> tuple[EventText, ...]:
    """The Events that the step from the session's status to `now` is worth."""
    before = session.status
    return (
        *_of_workspace(before, now),
        *_of_queue(before, now),
        *_of_run(before, now),
        *_of_trouble(before, now),
        *_of_turn(before, now),
        *_of_suspension(before, now),
    )


def _of_workspace(before: AgentSessionStatus, now: AgentSessionStatus) -> tuple[EventText, ...]:
    if now.volume_claim_name and not before.volume_claim_name:
        return (
            EventText(NORMAL, "WorkspaceCreated", f"Made volume claim {now.volume_claim_name}"),
        )
    return ()


def _of_queue(before: AgentSessionStatus, now: AgentSessionStatus) -> tuple[EventText, ...]:
    becomes = _find(now, ConditionType.READY)
    if now.phase is not Phase.QUEUED or before.phase is Phase.QUEUED or becomes is None:
        return ()
    return (EventText(NORMAL, becomes.reason.value, becomes.message),)


def _of_run(before: AgentSessionStatus, now: AgentSessionStatus) -> tuple[EventText, ...]:
    if now.runs and now.runs > (before.runs or 0):
        how = "a new conversation" if now.launch_type == "cold" else "the conversation goes on"
        return (EventText(NORMAL, "RunStarted", f"Started Job {now.job_name}: {how}"),)
    return ()


def _of_turn(before: AgentSessionStatus, now: AgentSessionStatus) -> tuple[EventText, ...]:
    turn = now.last_turn
    if turn is None or now.last_handled_message_id == before.last_handled_message_id:
        return ()
    if turn.outcome is TurnOutcome.SUCCEEDED:
        return (EventText(NORMAL, "TurnSucceeded", f"Answered a message from {turn.source}"),)
    return (
        EventText(
            WARNING, f"Turn{turn.outcome}", f"A turn from {turn.source} ended as {turn.outcome}"
        ),
    )


def _of_suspension(before: AgentSessionStatus, now: AgentSessionStatus) -> tuple[EventText, ...]:
    becomes = new_suspension(before, now)
    return (EventText(NORMAL, "Suspended", becomes.message),) if becomes else ()


def new_suspension(before: AgentSessionStatus, now: AgentSessionStatus) -> Condition | None:
    """The condition that says that the session is suspended, where it did not say so before."""
    was, becomes = (_find(status, ConditionType.SUSPENDED) for status in (before, now))
    if becomes is None or becomes.status is not ConditionStatus.TRUE:
        return None
    if becomes.reason is Reason.NEVER_STARTED or (was and was.status is becomes.status):
        return None
    return becomes


def _of_trouble(before: AgentSessionStatus, now: AgentSessionStatus) -> tuple[EventText, ...]:
    found = []
    for kind, bad in (
        (ConditionType.ACCEPTED, ConditionStatus.FALSE),
        (ConditionType.READY, ConditionStatus.FALSE),
        (ConditionType.DEGRADED, ConditionStatus.TRUE),
    ):
        was, becomes = _find(before, kind), _find(now, kind)
        if becomes is None or becomes.status is not bad or becomes.reason in _QUIET:
            continue
        if was is None or was.reason is not becomes.reason:
            found.append(EventText(WARNING, becomes.reason.value, becomes.message))
    return tuple(found)


def _find(status: AgentSessionStatus, kind: ConditionType) -> Condition | None:
    return next((c for c in status.conditions or () if c.type is kind), None)
