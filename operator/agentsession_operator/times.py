"""When things happen to a session. Seconds since the epoch."""

from __future__ import annotations

from agentsession_operator.assess import Assessment
from agentsession_operator.world import World


def deadline_near(world: World, found: Assessment) -> bool:
    """Whether too little of the run's deadline is left for a whole turn."""
    if found.record is None or found.refusal is not None:
        # Settings that do not fit together say nothing about a run that was started with others.
        return False
    latest = found.record.begun_at + world.effective.active_deadline - world.effective.turn_timeout
    return world.now >= latest


def backoff_until(world: World) -> float:
    """When the next run may start, in seconds since the epoch; 0 when nothing failed."""
    refused = world.refused.until if world.refused else 0.0
    failure = world.mailbox.failure
    if failure is None:
        return refused
    return max(refused, failure.at + world.limits.backoff(failure.count))


def expiration(world: World, found: Assessment) -> float | None:
    """When the session is deleted if nothing happens, or None for never."""
    effective, created = world.effective, world.session.metadata.creation_timestamp
    times = []
    if effective.delete_after:
        times.append(found.last_activity + effective.delete_after)
    if effective.max_lifetime is not None and created is not None:
        times.append(created.timestamp() + effective.max_lifetime)
    return min(times, default=None)


def is_expired(world: World, found: Assessment) -> bool:
    """Whether the session may be deleted now: time is up, nothing waits, nothing runs."""
    when = expiration(world, found)
    if when is None or world.now < when or found.work_waits:
        return False
    # Without its epoch Redis has lost what it knew of activity and of waiting messages.
    return not found.live and not found.may_run and world.mailbox.epoch is not None


def suspension(world: World, found: Assessment) -> float | None:
    """When the live run ends if nothing happens."""
    if not found.live or found.work_waits or found.draining:
        return None
    return found.last_activity + world.effective.suspend_after
