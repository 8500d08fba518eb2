"""The six conditions of a session, each decided by one function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from agentsession_core.api import (
    AgentSession,
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
)
from agentsession_core.mailbox.model import FailureRecord
from agentsession_operator.assess import (
    Assessment,
    lost_node,
    moment,
    pod_trouble,
    waits_for_volume,
)
from agentsession_operator.times import backoff_until, state_lost_until
from agentsession_operator.turn_problem import turn_problem
from agentsession_operator.world import Place, Problem, World

TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE
_OUTDATED = "its image or settings have changed, the next run starts with the new ones"
_REDIS_AWAY = "Redis does not answer: nothing is started, suspended or deleted until it does."
_STATE_LOST = (
    "Redis had lost what it knew of this session, and it was made anew from what the cluster knows. "
    "A message that has got no answer has to be sent again."
)
_ENDS = {
    Reason.OUTDATED: _OUTDATED,
    Reason.RUN_DEADLINE_NEAR: "too little of run.activeDeadlineSeconds was left for a turn",
    Reason.LIFETIME_OVER: "run.maxLifetimeSeconds is over, the session will be deleted",
    Reason.YIELDED: "it was idle, and others waited for a place",
    Reason.SUSPENDED_BY_USER: "spec.operatingMode was Suspended, and nothing has come since",
    Reason.TURN_TIMED_OUT: "its turn was over its timeout and its runner did not end it",
}
_OF_VOLUME = frozenset({Reason.VOLUME_STUCK, Reason.STORAGE_CLASS_NOT_FOUND})


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
    if found.record is not None and found.record.skill_problem:
        return Verdict(
            FALSE,
            Reason.SKILLS_UNFIT,
            f"The agent works without some of its template's skills: {found.record.skill_problem}. "
            "Mend them; the next run reads them anew.",
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
    if found.live and found.pod and found.pod.node_lost:
        return Verdict.no(lost_node(found.pod))
    if found.connected and not found.draining:
        return Verdict(TRUE, Reason.RUNNER_CONNECTED, "The agent is awake.")
    if found.refusal:
        return Verdict(FALSE, Reason.NOT_ACCEPTED, found.refusal.message)
    if found.live:
        return _not_ready_yet(world, found)
    return _why_not_started(world, found)


def _ending(found: Assessment) -> Verdict:
    if found.record is not None and found.record.why == Reason.OUTDATED:
        return Verdict(FALSE, Reason.OUTDATED, f"The run is ending: {_OUTDATED}.")
    if found.record is not None and found.record.why == Reason.EXPORTING:
        return Verdict(FALSE, Reason.EXPORTING, "A run without an agent hands over the workspace.")
    return Verdict(FALSE, Reason.DRAINING, "The run is ending.")


def _not_ready_yet(world: World, found: Assessment) -> Verdict:
    if found.draining:
        return _ending(found)
    trouble = world.complaint or pod_trouble(world, found.pod)
    if trouble:
        return Verdict.no(trouble)
    if waits_for_volume(world, found.pod):
        return Verdict(FALSE, Reason.WAITING_FOR_WORKSPACE, "The volume is being made.")
    if found.pod is None or not found.pod.started:
        return Verdict(FALSE, Reason.WAITING_FOR_POD, "The pod is starting.")
    return Verdict(FALSE, Reason.WAITING_FOR_RUNNER, "The runner has not said hello yet.")


def _why_not_started(world: World, found: Assessment) -> Verdict:
    if not found.wanted:
        return Verdict(FALSE, Reason.NOTHING_TO_DO, "Asleep; the next message wakes the agent.")
    if found.workspace:
        return Verdict.no(found.workspace)
    if found.may_run:
        troubles = (pod_trouble(world, pod) for pod in world.children.pods)
        lost = next(filter(None, troubles), None)
        if lost and lost.reason is Reason.NODE_LOST:
            return Verdict.no(lost)
        return Verdict(FALSE, Reason.PREVIOUS_RUN_ENDING, "The previous run's pod is still ending.")
    if world.now < backoff_until(world):
        return _backing_off(world)
    if not world.place.free:
        return Verdict(FALSE, Reason.QUEUED, _queued(world.place))
    return Verdict(FALSE, Reason.WAITING_FOR_POD, "The run's Job is being made.")


def _queued(place: Place) -> str:
    kind = "tasks" if place.task else "chats"
    number = f"Number {place.position} of {place.waiting}" if place.position else "In the queue"
    return (
        f"{number}: all places for runs of {kind} ({place.places}) are taken. It starts by itself when "
        "its turn comes; operator.settings.maxConcurrentRuns of the chart says how many there are."
    )


def _backing_off(world: World) -> Verdict:
    again = f"the next try is at {moment(backoff_until(world)):%H:%M:%S} UTC"
    failure = world.mailbox.failure
    if world.refused:
        problem = world.refused.problem
        return Verdict(FALSE, problem.reason, f"{problem.message}; {again}"[:1024])
    if failure is None:
        return Verdict(FALSE, Reason.BACKING_OFF, again)
    problem = failure_problem(failure)
    many = f" ({failure.count} runs in a row)" if failure.count > 1 else ""
    return Verdict(FALSE, problem.reason, f"{problem.message}{many}; {again}")


def failure_problem(failure: FailureRecord) -> Problem:
    """What is known of the newest run that ended before its time."""
    known = failure.reason in set(Reason)
    reason = Reason(failure.reason) if known else Reason.BACKING_OFF
    return Problem(reason, failure.message or failure.reason)


def active(world: World, found: Assessment) -> Verdict:
    """Whether a turn runs."""
    if world.mailbox.turn is not None:
        return Verdict(TRUE, Reason.TURN_RUNNING, "The agent works on a turn.")
    if found.live:
        return Verdict(FALSE, Reason.WAITING_FOR_INPUT, "The agent waits for a message.")
    return Verdict(FALSE, Reason.NO_RUN, "No run is live.")


def suspended(world: World, found: Assessment) -> Verdict:
    """Whether the session sleeps: a workspace and no pod."""
    by_hand = world.suspended_by_hand
    if found.live or found.may_run:
        if found.draining or (found.may_run and not found.live):
            return _ending(found)
        return Verdict(FALSE, Reason.AWAKE, "A run is live.")
    if by_hand:
        return Verdict(TRUE, Reason.SUSPENDED_BY_USER, "spec.operatingMode is Suspended.")
    if found.wanted:
        return Verdict(FALSE, Reason.AWAKE, "A run is about to start.")
    if not found.newest_run:
        return Verdict(TRUE, Reason.NEVER_STARTED, "No message has come yet.")
    return _why_asleep(world, found)


def _why_asleep(world: World, found: Assessment) -> Verdict:
    """Why the last run ended."""
    if found.failure:
        return Verdict(TRUE, found.failure.reason, f"The run ended: {found.failure.message}.")
    why = found.record.why if found.record else None
    if why is None or why == Reason.IDLE or why not in set(Reason):
        idle = world.effective.suspend_after
        return Verdict(TRUE, Reason.IDLE, f"Nothing happened for {idle} s.")
    words = _ENDS.get(Reason(why), "see the Events")
    return Verdict(TRUE, Reason(why), f"The run ended: {words}.")


def workspace_ready(world: World, found: Assessment) -> Verdict:
    """Whether the volume is there."""
    claim = world.children.claim
    if found.workspace:
        return Verdict.no(found.workspace)
    if claim is None and world.refused:
        return Verdict.no(world.refused.problem)
    if claim is None:
        return Verdict(FALSE, Reason.NOT_CREATED, "The first run makes the volume claim.")
    if claim.phase == "Bound":
        return Verdict(TRUE, Reason.VOLUME_BOUND, f"Volume claim {claim.name} is bound.")
    if world.complaint and world.complaint.reason in _OF_VOLUME:
        return Verdict.no(world.complaint)
    return Verdict(
        FALSE,
        Reason.VOLUME_PENDING,
        f"Volume claim {claim.name} is {claim.phase}; kubectl describe pvc {claim.name} says why.",
    )


def degraded(world: World, found: Assessment) -> Verdict:
    """Whether the last turn went wrong in a way that the next may, too."""
    last = world.mailbox.last
    if state_lost_until(world) is not None:
        return Verdict(TRUE, Reason.REDIS_STATE_LOST, _STATE_LOST)
    problem = turn_problem(last) if last else None
    if problem:
        return Verdict(TRUE, problem.reason, problem.message)
    if found.failure and found.failure.counted:
        return Verdict(TRUE, found.failure.reason, found.failure.message)
    if world.mailbox.failure:
        known = failure_problem(world.mailbox.failure)
        return Verdict(TRUE, known.reason, known.message)
    return Verdict(FALSE, Reason.HEALTHY, "The last turn went well." if last else "")


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
    generation = world.session.metadata.generation
    now = moment(world.now)
    assert isinstance(now, datetime)  # noqa: S101 - for the type checker
    return [
        _with_history(kind, decide(world, found), known.get(kind), now, generation)
        for kind, decide in _ALL.items()
    ]


def without_redis(session: AgentSession, now: float) -> list[Condition]:
    """The conditions as they were, but that nothing can be decided."""
    known = session.status.conditions or []
    before = next((c for c in known if c.type is ConditionType.DEGRADED), None)
    away = Verdict(TRUE, Reason.REDIS_UNAVAILABLE, _REDIS_AWAY)
    generation, at = session.metadata.generation, moment(now)
    assert isinstance(at, datetime)  # noqa: S101 - for the type checker
    degraded = _with_history(ConditionType.DEGRADED, away, before, at, generation)
    return [*(c for c in known if c.type is not ConditionType.DEGRADED), degraded]


def _with_history(
    kind: ConditionType,
    verdict: Verdict,
    before: Condition | None,
    now: datetime,
    generation: int,
) -> Condition:
    unchanged = before is not None and before.status is verdict.status
    return Condition(
        type=kind,
        status=verdict.status,
        reason=verdict.reason,
        message=verdict.message[:1024],
        last_transition_time=before.last_transition_time if unchanged and before else now,
        observed_generation=generation,
    )
