"""A clock for what takes one as an argument."""

from __future__ import annotations


class Clock:
    """Seconds that pass only when somebody sleeps, or when the test moves `now`."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Sleeps, without waiting."""
        self.now += seconds
