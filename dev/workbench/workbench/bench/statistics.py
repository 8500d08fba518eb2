"""What is said about a row of values. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """A row of values in few numbers, in the values' own unit."""

    n: int
    min: float
    p50: float
    p95: float
    max: float


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, interpolated between neighbours.

    Raises:
        ValueError: no values, or a share outside of 0 to 1.
    """
    if not values:
        raise ValueError("no values")
    if not 0 <= share <= 1:
        raise ValueError(f"a share is between 0 and 1, not {share}")
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def summarise(values: Sequence[float]) -> Summary:
    """The summary of at least one value. Raises ValueError without any."""
    return Summary(
        n=len(values),
        min=min(values),
        p50=statistics.median(values),
        p95=percentile(values, 0.95),
        max=max(values),
    )


def differences(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """`ours - theirs`, pair by pair. Raises ValueError when the rows are not equally long."""
    return tuple(mine - other for mine, other in zip(ours, theirs, strict=True))
