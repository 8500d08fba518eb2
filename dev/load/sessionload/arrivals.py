"""When objects are to be made. Pure: a seed gives the same times again."""

from __future__ import annotations

import random


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Moments in seconds from the start at which something arrives, `rate` per second on average.

    Open loop: nobody waits for the one before. Raises ValueError for a rate that is not positive.
    """
    if rate <= 0:
        raise ValueError(f"a rate is more than 0 per second, not {rate}")
    source = random.Random(seed)  # noqa: S311 - no secret
    moments: list[float] = []
    at = 0.0
    while True:
        at += source.expovariate(rate)
        if at >= seconds:
            return moments
        moments.append(at)


def poisson_count(count: int, seconds: float, seed: int) -> list[float]:
    """Exactly `count` such moments: given their number, a Poisson process' arrivals are uniform."""
    source = random.Random(seed)  # noqa: S311 - no secret
    return sorted(source.uniform(0, seconds) for _ in range(count))


def burst(count: int) -> list[float]:
    """All at once."""
    return [0.0] * count
