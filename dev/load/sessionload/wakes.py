"""Sleeping sessions that are woken and fall asleep again, for minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from sessionload.arrivals import poisson_count
from sessionload.generator import Habits, Kind, Sample, open_loop
from sessionload.scene import Scene
from sessionload.windows import WINDOW_SECONDS, windows
from workbench.bench.figures import Figure, Section, Unit

# A backlog that grows is, in the last third, above this many times the middle third.
GROWTH = 1.5
# Above which it is worth a word at all: so many of a few is chance.
FEW = 10


@dataclass(frozen=True)
class Backlog:
    """What waited at one moment, in seconds from the start."""

    at: float
    unanswered: int
    queued: float


async def measure_wakes(scene: Scene, count: int, seconds: float) -> Section:
    """Wakes so many sleeping sessions in so long. Raises TimeoutError, URLError."""
    await scene.quiet()
    names = scene.asleep()[:count]
    seen: list[Backlog] = []
    watching = asyncio.create_task(_watch(scene, seen))
    began = time.time()
    try:
        samples = await open_loop(
            poisson_count(len(names), seconds, scene.seed),
            lambda n, at: scene.generator.wake(
                Sample(names[n], Kind.RESUMED, f"poisson {count} in {seconds:.0f} s", at), Habits()
            ),
        )
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return _section(samples, [b for b in seen if b.at <= seconds], began, seconds)


async def _watch(scene: Scene, seen: list[Backlog]) -> None:
    began = time.time()
    while True:
        await asyncio.sleep(WINDOW_SECONDS)
        depth = await asyncio.to_thread(scene.queue_depth)
        seen.append(Backlog(time.time() - began, scene.generator.open, depth))


def grows(backlog: Sequence[float]) -> bool:
    """Whether the last third of a row lies clearly above the middle one."""
    third = len(backlog) // 3
    if third == 0:
        return False
    middle, last = fmean(backlog[third : 2 * third]), fmean(backlog[-third:])
    return last > FEW and last > middle * GROWTH


def _section(
    samples: Sequence[Sample], seen: Sequence[Backlog], began: float, seconds: float
) -> Section:
    ready = tuple(s.ready_seconds for s in samples if s.ready_seconds is not None)
    answered = tuple(s.answer_seconds for s in samples if s.answer_seconds is not None)
    unanswered = tuple(float(b.unanswered) for b in seen)
    queued = tuple(b.queued for b in seen)
    failed = [sample.error for sample in samples if sample.error]
    figures = (
        Figure("wakes.ready", "prompt changed → hello", Unit.SECONDS, ready),
        Figure("wakes.answer", "prompt changed → answer in status", Unit.SECONDS, answered),
        Figure("wakes.unanswered", "unanswered, every 10 s", Unit.COUNT, unanswered),
        Figure("wakes.queued", "waiting for the operator, every 10 s", Unit.COUNT, queued),
    )
    shares = [(s.intended - began, s.answer_seconds) for s in samples if s.answer_seconds]
    per_minute = ", ".join(f"{w.p50:.2f}/{w.p99:.2f}" for w in windows(shares, 60))
    asleep = sum(sample.suspended is not None for sample in samples)
    lag = max((sample.sent - sample.intended for sample in samples), default=0.0)
    notes = [
        f"{len(samples)} woken within {seconds:.0f} s, {asleep} of them asleep again in the end; the "
        f"backlog {'grew' if grows(unanswered) else 'did not grow'}.",
        f"Changed → answer, p50/p99 by minutes: {per_minute} s. The latest request was sent "
        f"{lag:.2f} s after its time.",
    ]
    notes += [f"{len(failed)} failed, the first: {failed[0]}."] if failed else []
    return Section(
        "Sleeping sessions woken and suspended again, open loop (Poisson)",
        tuple(figure for figure in figures if figure.values),
        tuple(notes),
    )
