"""Percentiles per window of time. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workbench.bench.statistics import percentile

WINDOW_SECONDS = 10


@dataclass(frozen=True)
class Window:
    """What began within one window; `start` in seconds from the first. Values in seconds."""

    start: float
    n: int
    p50: float
    p95: float
    p99: float
    max: float


def windows(
    samples: Iterable[tuple[float, float]], seconds: float = WINDOW_SECONDS
) -> list[Window]:
    """Windows over (moment, value); one without a sample is left out."""
    found: dict[int, list[float]] = {}
    for moment, value in samples:
        found.setdefault(int(moment // seconds), []).append(value)
    return [window(index * seconds, values) for index, values in sorted(found.items())]


def window(start: float, values: list[float]) -> Window:
    """One window. Raises ValueError without a value."""
    return Window(
        start=start,
        n=len(values),
        p50=percentile(values, 0.5),
        p95=percentile(values, 0.95),
        p99=percentile(values, 0.99),
        max=max(values),
    )
