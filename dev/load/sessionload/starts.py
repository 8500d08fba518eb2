"""Starts under load: cold at growing rates beside plain Jobs, in a burst, and warm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sessionload.arrivals import burst, poisson, poisson_count
from sessionload.generator import Habits, Kind, Sample, open_loop
from sessionload.scene import Scene
from sessionload.windows import window, windows
from workbench.bench.figures import Figure, Section, Unit

# The mission's floor for a person's wait; here for the 99th of a hundred new sessions.
HOLDS_SECONDS = 5.0
RATES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
# One plain Job for so many sessions, in the same moments.
PLAIN_EVERY = 5
WARM_SECONDS = 30.0
WARM_HABITS = Habits(suspend_after=600)


@dataclass(frozen=True)
class Step:
    """One rate: what became of the objects that arrived at it. Rates per second."""

    rate: float
    seconds: float
    sessions: tuple[Sample, ...]
    plain: tuple[Sample, ...]

    @property
    def ready(self) -> tuple[float, ...]:
        """Seconds from request to hello of all sessions that got there."""
        return tuple(s.ready_seconds for s in self.sessions if s.ready_seconds is not None)

    @property
    def holds(self) -> bool:
        """Whether everything came to its answer and 99 of 100 were ready in time."""
        failed = any(sample.error for sample in self.sessions)
        return not failed and bool(self.ready) and window(0, list(self.ready)).p99 <= HOLDS_SECONDS


async def measure_rates(scene: Scene, seconds: float) -> Section:
    """Doubles the rate of new sessions until it does not hold. Raises TimeoutError."""
    steps: list[Step] = []
    for index, rate in enumerate(RATES):
        await scene.quiet()
        step = await _step(scene, index, rate, seconds)
        steps.append(step)
        if not step.holds:
            break
    return _rates_section(steps)


async def _step(scene: Scene, index: int, rate: float, seconds: float) -> Step:
    plain: list[asyncio.Task[Sample]] = []

    async def make(number: int, intended: float) -> Sample:
        if number % PLAIN_EVERY == 0:
            sample = Sample(f"plain-{index}-{number}", Kind.PLAIN, f"poisson {rate:g}/s", intended)
            first = scene.plain.first_instruction
            plain.append(asyncio.create_task(scene.generator.plain(sample, first)))
        return await scene.cold(f"rate{index}", number, f"poisson {rate:g}/s", intended)

    moments = poisson(rate, seconds, scene.seed + index)
    sessions = await open_loop(moments, make)
    return Step(rate, seconds, tuple(sessions), tuple(await asyncio.gather(*plain)))


def _rates_section(steps: Sequence[Step]) -> Section:
    figures, notes = [], []
    for step in steps:
        jobs = tuple(s.ready_seconds for s in step.plain if s.ready_seconds is not None)
        name = f"{step.rate:g} a second"
        if step.ready:
            title = f"session created → hello, {name}"
            figures.append(Figure(f"rate.{step.rate:g}", title, Unit.SECONDS, step.ready))
        if jobs:
            title = f"plain Job created → its pod runs, {name}"
            figures.append(Figure(f"rate.{step.rate:g}.plain", title, Unit.SECONDS, jobs))
        notes.append(f"{name}: {_words(step)}")
    held = [step.rate for step in steps if step.holds]
    best = f"{max(held):g} a second" if held else "none of these rates"
    notes.append(
        f"The p99 of created → hello holds (≤ {HOLDS_SECONDS:.0f} s, everything answered) at {best}."
    )
    return Section(
        "New sessions, open loop (Poisson), beside plain Jobs", tuple(figures), tuple(notes)
    )


def _words(step: Step) -> str:
    began = step.sessions[0].intended if step.sessions else 0.0
    ready = [(s.intended - began, s.ready_seconds) for s in step.sessions if s.ready_seconds]
    per_window = ", ".join(f"{w.p50:.2f}/{w.p99:.2f}" for w in windows(ready))
    failed = [sample.error for sample in step.sessions if sample.error]
    text = f"{len(step.sessions)} sessions; p50/p99 by windows of 10 s: {per_window} s"
    return f"{text}; {len(failed)} failed, the first: {failed[0]}." if failed else f"{text}."


async def measure_burst(scene: Scene, count: int) -> Section:
    """So many new sessions at once. Raises TimeoutError."""
    await scene.quiet()
    began = time.time()
    samples = await open_loop(burst(count), lambda n, at: scene.cold("burst", n, "burst", at))
    ready = tuple(s.ready_seconds for s in samples if s.ready_seconds is not None)
    answered = tuple(s.answer_seconds for s in samples if s.answer_seconds is not None)
    failed = [sample.error for sample in samples if sample.error]
    last = max((s.hello for s in samples if s.hello is not None), default=began)
    figures = [
        Figure("burst.ready", f"burst of {count}: created → hello", Unit.SECONDS, ready),
        Figure("burst.answer", f"burst of {count}: created → answer", Unit.SECONDS, answered),
    ]
    rate = len(ready) / (last - began) if last > began else 0.0
    notes = [f"{len(ready)} sessions were ready within {last - began:.1f} s, {rate:.1f} a second."]
    notes += [f"{len(failed)} failed, the first: {failed[0]}."] if failed else []
    shown = tuple(figure for figure in figures if figure.values)
    return Section("A burst of new sessions", shown, tuple(notes))


async def measure_warm(scene: Scene, count: int) -> Section:
    """Sessions whose run is alive get another prompt each. Raises TimeoutError."""
    await scene.quiet()
    first = await open_loop(
        burst(count),
        lambda n, at: scene.generator.create(
            scene.sample("warm", n, Kind.COLD, "before warm", at), WARM_HABITS
        ),
    )
    names = [sample.name for sample in first if not sample.error]
    samples = await open_loop(
        poisson_count(len(names), WARM_SECONDS, scene.seed),
        lambda n, at: scene.generator.wake(Sample(names[n], Kind.WARM, "poisson", at), WARM_HABITS),
    )
    given = tuple(s.turn - s.sent for s in samples if s.turn is not None and not s.error)
    answered = tuple(s.answer_seconds for s in samples if s.answer_seconds is not None)
    for name in names:
        await scene.generator.remove(name)
        scene.names.remove(name)
    figures = (
        Figure("warm.turn", "prompt changed → turn given to a live run", Unit.SECONDS, given),
        Figure("warm.answer", "prompt changed → answer in status", Unit.SECONDS, answered),
    )
    return Section("Prompts for live runs", tuple(figure for figure in figures if figure.values))
