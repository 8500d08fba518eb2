"""When things happen to a session. Seconds since the epoch."""

from __future__ import annotations

from typing import Final

from agentsession_operator.assess import Assessment
from agentsession_operator.world import World

STATE_LOST_SECONDS: Final = 3600.0


def state_lost_until(world: World) -> float | None:
    """Until when it is said that Redis lost this session's state; a turn that ends well ends it, too."""
    rebuilt, last = world.mailbox.rebuilt_at, world.mailbox.last
    if rebuilt is None or (last is not None and last.finished_at >= rebuilt):
        return None
    until = rebuilt + STATE_LOST_SECONDS
    return until if world.ends_now < until else None


def deadline_near(world: World, found: Assessment) -> bool:
    """Whether too little of the run's deadline is left for a whole turn."""
    if found.record is None or found.refusal is not None:
        # Settings that do not fit together say nothing about a run that was started with others.
        return False
    latest = found.record.begun_at + world.effective.active_deadline - world.effective.turn_timeout
    return world.ends_now >= latest


def backoff_until(world: World) -> float:
    """When the next run may start, in seconds since the epoch; 0 when nothing failed."""
    refused = world.refused.until if world.refused else 0.0
    failure = world.mailbox.failure
    if failure is None:
        return refused
    return max(refused, failure.at + world.limits.backoff(failure.count))


def nominal_end(world: World, found: Assessment) -> float | None:
    """When the session's idle time or its lifetime is over; None for never, or while it has work.

    Work has no such time: how long the idle time will be is known when it begins.
    """
    if not world.holds_mailbox or world.session.metadata.deletion_timestamp is not None:
        return None
    effective, created = world.effective, world.session.metadata.creation_timestamp
    times = []
    if effective.delete_after and not found.work_waits:
        times.append(found.idle_since + effective.delete_after)
    if effective.max_lifetime is not None and created is not None:
        times.append(created.timestamp() + effective.max_lifetime)
    return min(times, default=None)


def warning_lead(world: World) -> float:
    """How long before its end the user is told; 0 for not at all.

    At most half of the time in which nothing happens: who has just got an answer is not to be told
    at once that everything will be gone.
    """
    effective = world.effective
    times = []
    if effective.delete_after:
        times.append(effective.delete_after - effective.suspend_after)
    if effective.max_lifetime is not None:
        times.append(effective.max_lifetime)
    return max(0.0, min([effective.warn_before_delete, *(time / 2 for time in times)]))


def warning(world: World, found: Assessment) -> float | None:
    """When the user has to be told of the session's end; None when they know, or need not."""
    end, lead = nominal_end(world, found), warning_lead(world)
    if end is None or lead <= 0 or world.mailbox.warned == int(end):
        return None
    return end - lead


def expiration(world: World, found: Assessment) -> float | None:
    """When the session is deleted if nothing happens, or None for never.

    Later than its idle time says when the warning is late (no operator ran): the time between the
    two is a promise.
    """
    end, lead, box = nominal_end(world, found), warning_lead(world), world.mailbox
    if end is None or lead <= 0:
        return end
    planned = end - lead
    told = (
        box.warned_at if box.warned == int(end) and box.warned_at else max(world.ends_now, planned)
    )
    return end if told <= planned + lead / 2 else told + lead


def is_expired(world: World, found: Assessment) -> bool:
    """Whether the session may be deleted now: time is up, nothing waits, nothing runs."""
    when = expiration(world, found)
    if when is None or world.ends_now < when or found.work_waits or found.export_waits:
        return False
    # Without its epoch Redis has lost what it knew of activity and of waiting messages.
    return not found.live and not found.may_run and world.mailbox.epoch is not None


def suspension(world: World, found: Assessment) -> float | None:
    """When the live run ends if nothing happens."""
    if not found.live or found.work_waits or found.draining or found.record is None:
        return None
    effective, created = world.effective, world.session.metadata.creation_timestamp
    times = [found.idle_since + effective.suspend_after]
    if found.refusal is None:
        times.append(found.record.begun_at + effective.active_deadline - effective.turn_timeout)
    if effective.max_lifetime is not None and created is not None:
        times.append(created.timestamp() + effective.max_lifetime)
    return min(times)
