"""Where a session stands towards the queue for runs: it waits, has a place, or wants none. Pure."""

from __future__ import annotations

from typing import Final

from agentsession_core import naming
from agentsession_core.api import Reason
from agentsession_core.mailbox.model import RunState
from agentsession_operator.assess import Assessment, pod_trouble
from agentsession_operator.failures import RunEnd
from agentsession_operator.model import Children, PodView
from agentsession_operator.world import Action, Problem, Standing, StartRun, World

# What the scheduler says of a pod that would fit if others left.
_NO_ROOM: Final = ("Insufficient ", "Too many pods")


def standing(world: World, found: Assessment, actions: tuple[Action, ...]) -> Standing:
    """The session's standing if these actions are what it wants."""
    starts = any(isinstance(action, StartRun) for action in actions)
    return Standing(
        user=world.session.spec.user.id,
        task=naming.is_task(world.session.mailbox),
        began_at=found.record.begun_at if found.record else None,
        waits_since=_waits_since(world, found) if starts else None,
        holds=holds_place(world.children),
        leaving=found.draining or not found.live,
        idle_since=found.last_activity if _is_idle(world, found) else None,
        stuck_since=_stuck_since(world, found),
        cramped=_cramped(world, found),
    )


def holds_place(children: Children) -> bool:
    """Whether a run takes a place: its pod may run, or its Job is about to make one.

    A pod on a lost node takes none: nobody knows when it goes, and what it used is out of reach.
    """
    if any(pod.may_still_run and not pod.node_lost for pod in children.pods):
        return True
    seen = {pod.run for pod in children.pods}
    return any(
        not job.finished and not job.deleting and job.run not in seen for job in children.jobs
    )


def give_back(world: World, found: Assessment) -> RunEnd | None:
    """Why a run that cannot start leaves its place to another session, if it has to."""
    trouble = _start_trouble(world, found)
    if not world.place.must_yield or trouble is None or _stuck_since(world, found) is None:
        return None
    return RunEnd(
        trouble.reason, f"{trouble.message}; its place went to a session that may start"[:1000]
    )


def may_drain_for_others(world: World, found: Assessment) -> bool:
    """Whether the run is to end early because others wait for its place."""
    return world.place.must_yield and _is_idle(world, found)


def _waits_since(world: World, found: Assessment) -> float:
    """The time of the oldest message; a store that was filled by an older release has none."""
    oldest = world.mailbox.waiting_since
    return found.last_activity if oldest is None else oldest


def _is_idle(world: World, found: Assessment) -> bool:
    """Whether the run waits for a message: never in a turn, never with a message waiting."""
    return found.connected and not found.draining and not found.work_waits


def _start_trouble(world: World, found: Assessment) -> Problem | None:
    """Why the live run does not start; a lost node is no such reason: its pod may be running."""
    record = found.record
    if not found.live or record is None or record.state is not RunState.OPEN or record.hello_at:
        return None
    trouble = world.complaint or pod_trouble(world, found.pod)
    return None if trouble is None or trouble.reason is Reason.NODE_LOST else trouble


def _stuck_since(world: World, found: Assessment) -> float | None:
    if found.record is None or _start_trouble(world, found) is None:
        return None
    begun = found.record.begun_at
    return begun if world.ends_now >= begun + world.limits.placement else None


def _cramped(world: World, found: Assessment) -> str | None:
    """The run or the attempt for which the cluster has no room, by a name of its own."""
    if found.live and found.record is not None:
        return found.record.run if _finds_no_room(found.pod) else None
    refused, failure = world.refused, world.mailbox.failure
    if not found.wanted:
        return None
    if refused is not None and refused.problem.reason is Reason.QUOTA_EXCEEDED:
        return f"refused until {refused.until}"
    if failure is not None and failure.reason == Reason.QUOTA_EXCEEDED:
        return failure.run
    return None


def _finds_no_room(pod: PodView | None) -> bool:
    return pod is not None and any(text in (pod.unschedulable or "") for text in _NO_ROOM)
