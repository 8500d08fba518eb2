"""Whether Redis' clock and the operator's own agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from agentsession_operator.metrics import SessionMetrics

log = structlog.get_logger(__name__)
# From here on suspensions are later than they may be.
TOLERATED_SECONDS: Final = 5.0


class Clocks:
    """Compares them at every look, and says so when they part and when they agree again.

    `clock`: the operator's own, in seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float], metrics: SessionMetrics | None = None) -> None:
        self._clock = clock
        self._metrics = metrics
        self._apart = False

    def read(self) -> float:
        """The operator's time."""
        return self._clock()

    def compare(self, redis: float, asked_at: float, answered_at: float) -> None:
        """Redis said its time between the two: only what lies outside is a difference."""
        ahead = max(0.0, redis - answered_at) - max(0.0, asked_at - redis)
        if self._metrics is not None:
            self._metrics.redis_clock_ahead(ahead)
        apart = abs(ahead) > TOLERATED_SECONDS
        if apart == self._apart:
            return
        self._apart = apart
        if apart:
            log.warning(
                "clocks differ: nothing ends before both have reached its time",
                redis_ahead_seconds=round(ahead, 1),
                next_step="set the clocks of Redis' machine and of the operator's, with NTP",
            )
        else:
            log.info("clocks agree again", redis_ahead_seconds=round(ahead, 3))
