"""Why a run ended before its time, and why a live one has to be ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agentsession_core.api import Reason
from agentsession_core.mailbox.model import RunRecord, RunState, TurnRecord
from agentsession_operator.builders.job import config_hash
from agentsession_operator.model import JobView, PodView
from agentsession_operator.world import World

# Kubelet's own evictions are the run's doing: it used more than its pod may.
_OWN_FAULT: Final = "TerminationByKubelet"
_OVERRUN: Final = {True: "was stopped on request", False: "is over its timeout"}
START_REFUSALS: Final = frozenset({Reason.QUOTA_EXCEEDED, Reason.POD_REFUSED})


@dataclass(frozen=True)
class RunEnd:
    """How a run ended or has to end.

    `counted`: the next one starts after a backoff. `own`: it ended by its own doing, so that the same
    turn may end the next one, too.
    """

    reason: Reason
    message: str
    counted: bool = True
    own: bool = True


def find_failure(
    record: RunRecord | None, job: JobView | None, pod: PodView | None, *, over: bool
) -> RunEnd | None:
    """Why the current run ended before its time; None if it did not or nothing shows that it did.

    `over`: neither its Job nor any pod can still run. A run that was told to end may end as it
    likes. A Job that is simply not there proves nothing: the operator may have died between the
    run's record and the Job.
    """
    if record is None or record.state is not RunState.OPEN or not over:
        return None
    if job and job.failed_reason == "DeadlineExceeded":
        return RunEnd(
            Reason.RUN_DEADLINE_EXCEEDED, "the run reached run.activeDeadlineSeconds and was ended"
        )
    if pod and not pod.may_still_run:
        return _pod_end(pod)
    if record.hello_at is not None or (job and job.finished):
        return RunEnd(Reason.RUN_FAILED, "the run ended without a word; its pod is gone", own=False)
    return None


def _pod_end(pod: PodView) -> RunEnd:
    if pod.exit_reason == "OOMKilled":
        return RunEnd(
            Reason.RUN_OUT_OF_MEMORY,
            "the agent used more memory than its limit; raise pod.resources.limits.memory",
        )
    if pod.disruption == _OWN_FAULT:
        return RunEnd(
            Reason.RUN_EVICTED, f"kubelet evicted pod {pod.name}: {pod.end_message}"[:500]
        )
    if pod.disruption or pod.deleting:
        cause = pod.disruption or "it was deleted"
        message = f"pod {pod.name} was taken away: {cause}"
        return RunEnd(Reason.RUN_EVICTED, message, counted=False, own=False)
    return RunEnd(
        Reason.RUN_FAILED, f"pod {pod.name} ended by itself with exit code {pod.exit_code}"
    )


def must_end(
    world: World, record: RunRecord | None, job: JobView | None, pod: PodView | None
) -> RunEnd | None:
    """Why the live run's Job has to be deleted, if it has."""
    if record is None or job is None:
        return None
    if overrun_turn(world, record):
        message = f"the turn {_OVERRUN[world.mailbox.stopped]} and its runner does not end it"
        return RunEnd(Reason.TURN_TIMED_OUT, message, counted=False)
    if record.state is RunState.DRAINED and record.drained_at is not None:
        if world.mailbox.export is not None:
            # It leaves when the workspace is handed over, however large that is.
            return None
        if world.ends_now >= record.drained_at + world.limits.drain_grace:
            why = Reason(record.why) if record.why in set(Reason) else Reason.IDLE
            return RunEnd(why, "the drained run does not exit", counted=False)
        return None
    return None if record.hello_at is not None else _start_must_end(world, record, job, pod)


def overrun_turn(world: World, record: RunRecord | None) -> bool:
    """Whether the run's turn should have been ended by its runner long ago.

    A turn that a dead run left behind is not this run's: it gets a new deadline with its next run.
    """
    turn = world.mailbox.turn
    return (
        turn is not None
        and record is not None
        and turn.run == record.run
        and world.ends_now >= overrun_at(world, turn)
    )


def overrun_at(world: World, turn: TurnRecord) -> float:
    """When a turn that its runner has not ended is ended, in seconds since the epoch.

    One that was stopped on request before its run was there has its time from that run's hello on.
    """
    end = turn.deadline
    if turn.cancelled_at is not None:
        greeted = world.mailbox.run.hello_at if world.mailbox.run else None
        end = min(end, max(turn.cancelled_at, greeted or 0.0))
    return end + world.limits.turn_overrun


def hello_deadline(world: World, record: RunRecord, pod: PodView | None) -> float | None:
    """When a started container must have said hello; None before it has started.

    Redis may have forgotten the hello of a run that has long been there: as long again from then on.
    """
    if pod is None or not pod.started:
        return None
    since = max(record.begun_at, pod.started_at or 0.0, world.mailbox.rebuilt_at or 0.0)
    return since + world.limits.hello_timeout


def _start_must_end(
    world: World, record: RunRecord, job: JobView, pod: PodView | None
) -> RunEnd | None:
    if job.config_hash != config_hash(world.effective, world.services):
        return RunEnd(Reason.OUTDATED, "its settings changed before it said hello", counted=False)
    deadline = hello_deadline(world, record, pod)
    if deadline is not None and world.ends_now >= deadline:
        return RunEnd(
            Reason.RUNNER_SILENT,
            f"the runner did not say hello within {world.limits.hello_timeout:.0f} s of its start; "
            f"kubectl logs -l job-name={job.name} shows what it said",
        )
    if world.children.claim is None:
        return RunEnd(Reason.VOLUME_LOST, "the volume claim is gone; the next run makes it anew")
    complaint = world.complaint
    if pod is None and complaint and complaint.reason in START_REFUSALS:
        return RunEnd(complaint.reason, complaint.message)
    return None
