"""What is going on with a session: pure questions to a World."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from agentsession_core.api import AgentType, Reason, WhenDeleted
from agentsession_core.mailbox.model import RunRecord, RunState
from agentsession_operator.builders.job import config_hash
from agentsession_operator.failures import RunEnd, find_failure
from agentsession_operator.model import JobView, PodView, timestamp
from agentsession_operator.quantity import exceeding
from agentsession_operator.world import Problem, World

_START_FAILURES: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)


@dataclass(frozen=True)
class Assessment:
    """The situation. Times in seconds since the epoch."""

    newest_run: int
    record: RunRecord | None
    job: JobView | None
    pod: PodView | None
    live: bool
    may_run: bool
    refusal: Problem | None
    workspace: Problem | None
    failure: RunEnd | None
    outdated: bool
    last_activity: float
    idle_since: float
    work_waits: bool
    wanted: bool
    export_waits: bool = False

    @property
    def connected(self) -> bool:
        """Whether the live run's runner has said hello."""
        return self.live and self.record is not None and self.record.hello_at is not None

    @property
    def draining(self) -> bool:
        """Whether the live run has been told to end."""
        return self.live and self.record is not None and self.record.state is not RunState.OPEN

    @property
    def settled(self) -> bool:
        """Whether the session is neither on its way down nor on its way up."""
        if self.draining or (self.may_run and not self.live):
            return False
        return self.connected or not self.wanted


def assess(world: World) -> Assessment:
    """Answers every question that plan and status ask."""
    record, job, pod = current_run(world)
    may_run = any(p.may_still_run for p in world.children.pods)
    live = (
        job is not None
        and not job.deleting
        and not job.finished
        and (pod is None or (pod.may_still_run and not pod.deleting))
    )
    activity = last_activity(world)
    # A message that Redis lost was activity, too: what is rebuilt gets its whole idle time anew.
    idle_since = max(activity, world.mailbox.rebuilt_at or 0.0)
    refusal = find_refusal(world)
    work_waits = world.mailbox.waiting > 0 or world.mailbox.turn is not None
    idle = world.ends_now >= idle_since + world.effective.suspend_after
    export_waits = _export_waits(world, live=live)
    return Assessment(
        newest_run=_newest_run(world, _run_number(record)),
        record=record,
        job=job,
        pod=pod,
        live=live,
        may_run=may_run,
        refusal=refusal,
        workspace=find_workspace_problem(world),
        failure=find_failure(record, job, pod, over=not live and not may_run),
        outdated=live and refusal is None and _is_outdated(world, record, job),
        last_activity=activity,
        idle_since=idle_since,
        work_waits=work_waits,
        wanted=(
            not world.suspended_by_hand
            and world.holds_mailbox
            and (refusal is None or live)
            and (work_waits or export_waits or (live and not idle and not is_over(world)))
        ),
        export_waits=export_waits and world.holds_mailbox and (refusal is None or live),
    )


def _export_waits(world: World, *, live: bool) -> bool:
    """Whether somebody waits for the workspace and a run may still hand it over.

    Each export gets one run: after that one's end it is for the person to ask again.
    """
    export = world.mailbox.export
    return export is not None and world.children.claim is not None and (live or export.run is None)


def _is_outdated(world: World, record: RunRecord | None, job: JobView | None) -> bool:
    """Whether a run that has said hello was started with other settings than those in force."""
    return (
        record is not None
        and job is not None
        and record.state is RunState.OPEN
        and record.hello_at is not None
        and job.config_hash != config_hash(world.effective, world.services)
    )


def is_over(world: World) -> bool:
    """Whether the session has lived as long as it may."""
    created, lifetime = world.session.metadata.creation_timestamp, world.effective.max_lifetime
    return (
        lifetime is not None
        and created is not None
        and (world.ends_now >= created.timestamp() + lifetime)
    )


def current_run(world: World) -> tuple[RunRecord | None, JobView | None, PodView | None]:
    """The session's run in Redis, its Job and its pod, as far as they are there."""
    record = own_record(world)
    number = _run_number(record)
    job = next((j for j in world.children.jobs if _is_ours(world, j) and j.run == number), None)
    pod = next(
        (p for p in world.children.pods if p.session_uid == world.uid and p.run == number), None
    )
    return record, job, pod


def own_record(world: World) -> RunRecord | None:
    """The run in Redis, if it is one of this very session."""
    record = world.mailbox.run
    if record is None or record.run.rpartition("/")[0] != world.uid:
        return None
    return record


def last_activity(world: World) -> float:
    """The newest message or turn, else the session's creation."""
    status, metadata = world.session.status, world.session.metadata
    known = (
        world.mailbox.last_activity,
        timestamp(status.last_activity_time),
        timestamp(metadata.creation_timestamp),
    )
    return max((moment for moment in known if moment is not None), default=world.now)


def find_refusal(world: World) -> Problem | None:
    """Why the session's settings cannot be carried out (Accepted=False)."""
    effective, spec = world.effective, world.session.spec
    if world.template_missing and spec.template_ref:
        return Problem(
            Reason.TEMPLATE_NOT_FOUND,
            f"AgentSessionTemplate {spec.template_ref.name!r} does not exist in namespace "
            f"{world.session.metadata.namespace!r}; create it and the session goes on by itself",
        )
    if effective.delete_after and effective.suspend_after >= effective.delete_after:
        return Problem(
            Reason.INVALID_IDLE_POLICY,
            f"with the template's and the chart's defaults suspendAfterSeconds "
            f"({effective.suspend_after}) is not less than deleteAfterSeconds "
            f"({effective.delete_after}); set both in idlePolicy",
        )
    if effective.turn_timeout >= effective.active_deadline:
        return Problem(
            Reason.INVALID_RUN_POLICY,
            f"with the template's and the chart's defaults turnTimeoutSeconds "
            f"({effective.turn_timeout}) is not less than activeDeadlineSeconds "
            f"({effective.active_deadline}); set both in run",
        )
    if effective.image is None:
        return Problem(Reason.AGENT_TYPE_UNAVAILABLE, _unavailable(world))
    if effective.model and effective.models and effective.model not in effective.models:
        return Problem(
            Reason.MODEL_NOT_ALLOWED,
            f"model {effective.model!r} is not one of the template's: {', '.join(effective.models)}",
        )
    excess = exceeding(effective.resources, effective.pod.max_resources)
    if excess:
        return Problem(Reason.RESOURCES_TOO_LARGE, f"above the template's maximum: {excess}")
    return None


def _unavailable(world: World) -> str:
    known = ", ".join(sorted(AgentType(kind).value for kind in world.available_types)) or "none"
    return (
        f"this installation has no image for agent type {world.effective.agent_type.value!r} "
        f"(it has: {known}); set image in an AgentSessionTemplate or the chart's images"
    )


def find_workspace_problem(world: World) -> Problem | None:
    """Why the existing claim cannot be this session's workspace."""
    claim = world.children.claim
    if claim is None:
        return None
    if claim.deleting or claim.owner_uid not in (None, world.uid):
        return Problem(
            Reason.PREVIOUS_WORKSPACE_TERMINATING,
            f"volume claim {claim.name} of an earlier session with this name is being deleted",
        )
    if claim.user != world.session.spec.user.id:
        return Problem(
            Reason.WORKSPACE_CONFLICT,
            f"volume claim {claim.name} belongs to another user; delete it or rename the session",
        )
    if claim.phase == "Lost":
        return Problem(
            Reason.VOLUME_LOST,
            f"the volume of claim {claim.name} is lost; restore it or delete the claim",
        )
    return None


def claim_owner_is_wrong(world: World) -> bool:
    """Whether the claim's owner does not follow the retention policy."""
    claim = world.children.claim
    if claim is None or find_workspace_problem(world) is not None:
        return False
    return (claim.owner_uid is not None) != (world.effective.when_deleted is WhenDeleted.DELETE)


def lost_node(pod: PodView) -> Problem:
    """A node that does not report any more may still run the pod: no other may have its volume."""
    return Problem(
        Reason.NODE_LOST,
        f"node {pod.node} does not report and may still run pod {pod.name}; bring it back, or, if "
        "it is off for good, delete the node or taint it node.kubernetes.io/out-of-service",
    )


def waits_for_volume(world: World, pod: PodView | None) -> bool:
    """Whether the scheduler waits for the claim to be bound, as it does in every first start."""
    claim = world.children.claim
    return (
        pod is not None
        and claim is not None
        and claim.phase == "Pending"
        and "persistentvolumeclaim" in (pod.unschedulable or "").lower()
    )


def pod_trouble(world: World, pod: PodView | None) -> Problem | None:
    """Why a live run's pod does not start."""
    if pod is None or waits_for_volume(world, pod):
        return None
    if pod.node_lost:
        return lost_node(pod)
    if pod.unschedulable:
        return Problem(Reason.UNSCHEDULABLE, f"no node takes the pod: {pod.unschedulable}")
    detail = f": {pod.waiting_message}" if pod.waiting_message else ""
    if pod.is_waiting_on_image:
        return Problem(Reason.IMAGE_PULL_FAILED, f"{pod.waiting_reason}{detail}"[:1000])
    if pod.waiting_reason in _START_FAILURES:
        return Problem(Reason.CONTAINER_CANNOT_START, f"{pod.waiting_reason}{detail}"[:1000])
    return None


def _is_ours(world: World, job: JobView) -> bool:
    return job.session_uid == world.uid


def _run_number(record: RunRecord | None) -> int | None:
    return int(record.run.rpartition("/")[2]) if record else None


def _newest_run(world: World, current: int | None) -> int:
    own_jobs = [job.run for job in world.children.jobs if _is_ours(world, job)]
    return max([world.session.status.runs or 0, current or 0, *own_jobs])


def moment(seconds: float | None) -> datetime | None:
    """The time as Kubernetes writes it: UTC, whole seconds."""
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC)
