"""How often a caller may ask: a bucket of tokens for each, in this process' memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agentsession_core.problems import ProblemError
from agentsession_core.settings import RateLimitSettings
from orchestrator_api.callers import Caller

# Callers with a full bucket need none; they are looked for so seldom that it costs nothing.
FORGET_SECONDS: Final = 60.0


def take(filled_at: float, now: float, *, seconds_each: float, burst: int) -> tuple[float, float]:
    """One request of a caller whose bucket is full at `filled_at`: when it is full then, and 0; or
    unchanged, and the seconds after which one will be taken.

    The generic cell rate algorithm: a token comes back every `seconds_each`, and `burst` of them fit.
    """
    full = max(filled_at, now) + seconds_each
    wait = full - now - burst * seconds_each
    # Sums of fractions: a wait of less than a microsecond is none.
    return (filled_at, wait) if wait > 1e-6 else (full, 0.0)


@dataclass
class RateLimits:
    """Counts requests of this process. `clock` counts seconds, `limited` hears who is refused."""

    settings: RateLimitSettings
    clock: Callable[[], float]
    limited: Callable[[Caller], None] = lambda _: None

    def __post_init__(self) -> None:
        self._filled_at: dict[str, float] = {}
        self._forget_at = self.clock() + FORGET_SECONDS

    @property
    def known(self) -> int:
        """How many callers are remembered."""
        return len(self._filled_at)

    def require(self, caller: Caller) -> None:
        """Counts a request. Raises ProblemError 429 where that is one too many; it is not counted."""
        if self.settings.requests_per_minute == 0:
            return
        now, key = self.clock(), key_of(caller)
        self._forget(now)
        full, wait = take(
            self._filled_at.get(key, now),
            now,
            seconds_each=60.0 / self.settings.requests_per_minute,
            burst=self.settings.burst,
        )
        if wait:
            self.limited(caller)
            raise _refusal(self.settings, math.ceil(wait))
        self._filled_at[key] = full

    def _forget(self, now: float) -> None:
        if now < self._forget_at:
            return
        self._forget_at = now + FORGET_SECONDS
        self._filled_at = {key: full for key, full in self._filled_at.items() if full > now}


def key_of(caller: Caller) -> str:
    """Whose requests are counted together: a token's, or those of all runs of a user."""
    # A run is made anew in a second, and an agent that runs wild would have a new bucket each time.
    return f"user:{caller.user}" if caller.is_run else caller.actor


def _refusal(settings: RateLimitSettings, seconds: int) -> ProblemError:
    return ProblemError(
        429,
        "rate_limited",
        f"more than {settings.requests_per_minute} requests a minute, {settings.burst} of them at "
        f"once; try again in {seconds} s, and ask for less at a time",
        retry_after=seconds,
        members={"retry_after": seconds},
    )
