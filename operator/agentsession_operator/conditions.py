"""The six conditions of a session, each decided by one function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from agentsession_core.api import (
    Condition,
    ConditionStatus,
    ConditionType,
    OperatingMode,
    Reason,
    TurnOutcome,
)
from agentsession_core.mailbox.model import LastTurnRecord
from agentsession_operator.assess import Assessment, moment, pod_trouble
from agentsession_operator.times import backoff_until
from agentsession_operator.world import Problem, World

TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE


@dataclass(frozen=True)
class Verdict:
    """One condition without its history."""

    status: ConditionStatus
    reason: Reason
    message: str = ""

    @classmethod
    def no(cls, problem: Problem) -> Verdict:
        return cls(FALSE, problem.reason, problem.message)


def accepted(world: World, found: Assessment) -> Verdict:
    """Whether the settings can be carried out."""
    if found.refusal:
        return Verdict.no(found.refusal)
    if world.ignored_type:
        return Verdict(
            FALSE,
            Reason.AGENT_TYPE_PINNED,
            f"The template says {world.ignored_type.value!r} now; the session keeps "
            f"{world.effective.agent_type.value!r}, the type of its first run.",
        )
    return Verdict(TRUE, Reason.VALID, "The settings are valid.")


def ready(world: World, found: Assessment) -> Verdict:
    """Whether a runner is connected and would take a message at once."""
    if world.session.metadata.deletion_timestamp is not None:
        return Verdict(FALSE, Reason.TERMINATING, "The session is being deleted.")
    if not world.holds_mailbox:
        return Verdict(
            FALSE,
            Reason.MAILBOX_TAKEN,
            f"An older session has the mailbox {world.session.mailbox!r}; one mailbox, one session.",
        )
    if found.connected and not found.draining:
        return Verdict(TRUE, Reason.RUNNER_CONNECTED, "The agent is awake.")
    if found.refusal:
        return Verdict(FALSE, Reason.NOT_ACCEPTED, found.refusal.message)
    if found.live:
        return _not_ready_yet(found)
    return _why_not_started(world, found)


def _not_ready_yet(found: Assessment) -> Verdict:
    if found.draining:
        return Verdict(FALSE, Reason.DRAINING, "The run is ending.")
    trouble = pod_trouble(found.pod)
    if trouble:
        return Verdict.no(trouble)
    if found.pod is None or not found.pod.started:
        return Verdict(FALSE, Reason.WAITING_FOR_POD, "The pod is starting.")
    return Verdict(FALSE, Reason.WAITING_FOR_RUNNER, "The runner has not said hello yet.")


def _why_not_started(world: World, found: Assessment) -> Verdict:
    if not found.wanted:
        return Verdict(FALSE, Reason.NOTHING_TO_DO, "Asleep; the next message wakes the agent.")
    if found.workspace:
        return Verdict.no(found.workspace)
    if found.may_run:
        lost = next(filter(None, map(pod_trouble, world.children.pods)), None)
        if lost and lost.reason is Reason.NODE_LOST:
            return Verdict.no(lost)
        return Verdict(FALSE, Reason.PREVIOUS_RUN_ENDING, "The previous run's pod is still ending.")
    if world.mailbox.failure and world.now < backoff_until(world):
        failure = world.mailbox.failure
        cause = found.failure.message if found.failure else failure.reason
        return Verdict(
            FALSE,
            Reason.BACKING_OFF,
            f"{failure.count} run(s) in a row ended before their time ({cause}); "
            f"the next starts at {moment(backoff_until(world)):%H:%M:%S} UTC",
        )
    return Verdict(FALSE, Reason.WAITING_FOR_POD, "The run's Job is being made.")


def active(world: World, found: Assessment) -> Verdict:
    """Whether a turn runs."""
    if world.mailbox.turn is not None:
        return Verdict(TRUE, Reason.TURN_RUNNING, "The agent works on a turn.")
    if found.live:
        return Verdict(FALSE, Reason.WAITING_FOR_INPUT, "The agent waits for a message.")
    return Verdict(FALSE, Reason.NO_RUN, "No run is live.")


def suspended(world: World, found: Assessment) -> Verdict:
    """Whether the session sleeps: a workspace and no pod."""
    by_hand = world.session.spec.operating_mode is OperatingMode.SUSPENDED
    if found.live or found.may_run:
        if found.draining or (found.may_run and not found.live):
            return Verdict(FALSE, Reason.DRAINING, "The run is ending.")
        return Verdict(FALSE, Reason.AWAKE, "A run is live.")
    if by_hand:
        return Verdict(TRUE, Reason.SUSPENDED_BY_USER, "spec.operatingMode is Suspended.")
    if found.wanted:
        return Verdict(FALSE, Reason.AWAKE, "A run is about to start.")
    if not found.newest_run:
        return Verdict(TRUE, Reason.NEVER_STARTED, "No message has come yet.")
    return Verdict(TRUE, Reason.IDLE, f"Nothing happened for {world.effective.suspend_after} s.")


def workspace_ready(world: World, found: Assessment) -> Verdict:
    """Whether the volume is there."""
    claim = world.children.claim
    if found.workspace:
        return Verdict.no(found.workspace)
    if claim is None:
        return Verdict(FALSE, Reason.NOT_CREATED, "The first run makes the volume claim.")
    if claim.phase == "Bound":
        return Verdict(TRUE, Reason.VOLUME_BOUND, f"Volume claim {claim.name} is bound.")
    return Verdict(
        FALSE,
        Reason.VOLUME_PENDING,
        f"Volume claim {claim.name} is {claim.phase}; kubectl describe pvc {claim.name} says why.",
    )


def degraded(world: World, found: Assessment) -> Verdict:
    """Whether the last turn went wrong in a way that the next may, too."""
    last = world.mailbox.last
    problem = turn_problem(last) if last else None
    if problem:
        return Verdict(TRUE, problem.reason, problem.message)
    if found.failure:
        return Verdict(TRUE, found.failure.reason, found.failure.message)
    return Verdict(FALSE, Reason.HEALTHY, "The last turn went well." if last else "")


def turn_problem(last: LastTurnRecord) -> Problem | None:
    """What a failed turn says about the next."""
    detail = (last.error_message or last.error_code)[:600]
    if last.outcome is TurnOutcome.MODEL_ERROR:
        if last.model_status in (401, 403):
            return Problem(
                Reason.MODEL_AUTHENTICATION_FAILED,
                f"the model API refused the key (HTTP {last.model_status}); set a valid one in "
                "gateway.models.anthropic and send the next message",
            )
        if last.model_status is not None and 400 <= last.model_status < 429:
            return Problem(
                Reason.MODEL_REFUSED,
                f"the model API refused the request (HTTP {last.model_status}): {detail}",
            )
        status = f" (HTTP {last.model_status})" if last.model_status else ""
        return Problem(Reason.MODEL_UNAVAILABLE, f"the model API did not answer{status}: {detail}")
    if last.outcome is TurnOutcome.TIMED_OUT:
        return Problem(Reason.TURN_TIMED_OUT, "the last turn was over run.turnTimeoutSeconds")
    if last.outcome is TurnOutcome.FAILED:
        return _failed_turn(last, detail)
    return None


_WORKSPACE_REASONS = {
    "workspace_full": Reason.WORKSPACE_FULL,
    "workspace_read_only": Reason.WORKSPACE_READ_ONLY,
}


def _failed_turn(last: LastTurnRecord, detail: str) -> Problem:
    """The runner's code says whether a person must do something to the volume first."""
    reason = _WORKSPACE_REASONS.get(last.error_code)
    if reason is not None:
        return Problem(reason, f"the last turn failed: {detail}")
    return Problem(Reason.TURN_FAILED, f"the last turn failed: {detail}")


_ALL: dict[ConditionType, Callable[[World, Assessment], Verdict]] = {
    ConditionType.ACCEPTED: accepted,
    ConditionType.READY: ready,
    ConditionType.ACTIVE: active,
    ConditionType.SUSPENDED: suspended,
    ConditionType.WORKSPACE_READY: workspace_ready,
    ConditionType.DEGRADED: degraded,
}


def conditions(world: World, found: Assessment) -> list[Condition]:
    """All conditions; one keeps its transition time as long as its status stays."""
    known = {c.type: c for c in world.session.status.conditions or ()}
    now = moment(world.now)
    assert isinstance(now, datetime)  # noqa: S101 - for the type checker
    return [
        _with_history(kind, decide(world, found), known.get(kind), now, world)
        for kind, decide in _ALL.items()
    ]


def _with_history(
    kind: ConditionType, verdict: Verdict, before: Condition | None, now: datetime, world: World
) -> Condition:
    unchanged = before is not None and before.status is verdict.status
    return Condition(
        type=kind,
        status=verdict.status,
        reason=verdict.reason,
        message=verdict.message[:1024],
        last_transition_time=before.last_transition_time if unchanged and before else now,
        observed_generation=world.session.metadata.generation,
    )
