"""When a changed status is worth a write: at most one a second, trifles never on their own."""

from __future__ import annotations

from typing import Final

from agentsession_core.api import AgentSessionStatus, Phase

INTERVAL: Final = 1.0
_TRIFLES: Final = frozenset({"last_activity_time", "suspend_time", "expiration_time"})
_IN_PASSING: Final = frozenset({Phase.STARTING, Phase.WORKING, Phase.SUSPENDING, Phase.PENDING})


def write_delay(
    before: AgentSessionStatus,
    after: AgentSessionStatus,
    now: float,
    last_write: float,
    changed_since: float,
) -> float | None:
    """Seconds until `after` should be written: 0 for now, None for never (on its own).

    A passing phase waits until a second after the first unwritten change (`changed_since`): most
    often the next one has replaced it by then, and a life costs the API server half the writes.
    """
    changed = {
        name
        for name in AgentSessionStatus.model_fields
        if getattr(before, name) != getattr(after, name)
    }
    if not changed - _TRIFLES:
        return None
    quiet = max(0.0, last_write + INTERVAL - now)
    passing = after.phase in _IN_PASSING and before.phase is not None
    answered = before.last_handled_message_id != after.last_handled_message_id
    if passing and not answered:
        return max(quiet, changed_since + INTERVAL - now)
    return quiet
