"""`make bench-scale`: thousands of sessions with the real operator and gateway, and what they cost."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from redis import RedisError

from localcluster.console import Reporter
from sessionload.api import ApiError
from sessionload.generator import Sample, closed_loop
from sessionload.ground import SESSIONS, Ground, build_programs, opened
from sessionload.idle import Minute, idle_section, measure_minute
from sessionload.laying import lay, read_model
from sessionload.lives import measure_lives
from sessionload.machine import Machine, describe_machine
from sessionload.restart import measure_restart
from sessionload.scene import Scene, scene
from sessionload.starts import measure_burst, measure_rates, measure_warm
from sessionload.tracker import LateError
from sessionload.wakes import measure_wakes
from workbench.bench.figures import Section
from workbench.bench.report import markdown, to_json
from workbench.bench.table import make_console, show

THINK_SECONDS = 0.2
# A name that is part of no other text: copies of the session have theirs in its places.
MODEL = "session-to-be-copied"
FILL_AT_ONCE = 32
LAID_SECONDS = 600.0
FAILURES = (ApiError, LateError, RedisError, TimeoutError, OSError, ValueError, KeyError)
# How much of all sessions is there when idle sessions are measured.
SHARES = (0.1, 0.5, 1.0)


# What is measured of sessions that do something, in this order.
MOVES = {
    "lives": "writes in a life",
    "wakes": "sleeping sessions woken",
    "warm": "prompts for live runs",
    "rates": "new sessions at growing rates",
    "burst": "a burst",
}
WRITTEN_LIVES, WARM, BURST, WAKES = 20, 50, 300, 1000


@dataclass(frozen=True)
class Size:
    """How large a run is. `lives` of the sessions live whole lives, the others are laid down.

    `moves` are names in MOVES; times in seconds.
    """

    sessions: int
    lives: int
    idle_seconds: float
    step_seconds: float
    wake_seconds: float
    seed: int
    moves: tuple[str, ...]
    idle_at: tuple[int, ...]

    def steps(self) -> list[int]:
        """Numbers of sessions at which idle ones are measured: the first ones and all among them."""
        wanted = self.idle_at or tuple(round(self.sessions * share) for share in SHARES)
        between = (step for step in wanted if self.lives < step < self.sessions)
        return sorted({self.lives, *between, self.sessions})

    def of(self, most: int) -> int:
        """How many of something: `most` in a run of 1,000 sessions or more, fewer in a try."""
        return min(most, max(5, most * self.sessions // 1000))


def run_scale(clone: Path, folder: Path, size: Size, reporter: Reporter) -> list[str]:
    """Prints the figures, writes `scale.json` and `scale.md` beside `folder`; answers what failed.

    `folder` gets the ground's state, logs and journals; what was in it is removed.

    Raises ClusterError when there is no ground to measure on.
    """
    programs = build_programs(clone, reporter)
    with opened(clone, folder, programs, THINK_SECONDS, reporter) as ground:
        machine = describe_machine(clone, ground.redis_version())

        def keep() -> None:
            _write(folder.parent, machine.after(os.getloadavg()[0]), size, run)

        run = ScaleRun(size, reporter, keep)
        asyncio.run(run.run(ground, folder / "load.jsonl"))
        machine = machine.after(os.getloadavg()[0])
    show(make_console(), machine.sentence(), run.sections, run.unmeasured)
    return run.unmeasured


class ScaleRun:
    """One run of all measurements; `keep` is called after each, so that none is lost."""

    def __init__(self, size: Size, reporter: Reporter, keep: Callable[[], None]) -> None:
        self._size = size
        self._reporter = reporter
        self._keep = keep
        self._minutes: list[Minute] = []
        self._restarts: list[Section] = []
        self._moves: list[Section] = []
        self.unmeasured: list[str] = []

    @property
    def sections(self) -> list[Section]:
        """What has been measured until now."""
        idle = [idle_section(self._minutes)] if self._minutes else []
        return [*idle, *self._restarts, *self._moves]

    async def run(self, ground: Ground, journal: Path) -> None:
        """Everything, one after the other: first what is idle, then what moves."""
        size = self._size
        async with scene(ground, journal, size.seed) as here:
            await self._live(here)
            for upto in size.steps():
                await self._rest(here, upto)
            await self._move(here)

    async def _live(self, here: Scene) -> None:
        """The first sessions live whole lives; the others are laid down as one of them was left."""
        samples: list[Sample] = []

        async def live() -> None:
            model = await here.cold(MODEL, 0, "fill", time.time())
            make = partial(here.cold, "s")
            rest = await closed_loop(
                range(1, self._size.lives), FILL_AT_ONCE, lambda n, at: make(n, "fill", at)
            )
            samples.extend([model, *rest])

        began = time.monotonic()
        await self._do(f"{self._size.lives} sessions live a life", live)
        failed = [sample for sample in samples if sample.error]
        self._reporter.note(
            f"{len(samples) / (time.monotonic() - began):.1f} lives a second, {FILL_AT_ONCE} at once; "
            f"{len(failed)} failed"
        )
        if failed:
            self.unmeasured.append(f"{len(failed)} lives failed, the first: {failed[0].error}")

    async def _rest(self, here: Scene, upto: int) -> None:
        async def fill() -> None:
            missing = range(len(here.names), upto)
            if missing:
                parts = (here.redis, here.etcd)
                model = await read_model(here.api, *parts, SESSIONS, here.names[0])
                here.names += await lay(*parts, model, missing)
                # By then the API server's watch caches, which lists come from, have them, too.
                await here.tracker.wait(here.names[-1], "laid down", lambda _: True, LAID_SECONDS)

        async def restart() -> None:
            self._restarts.append(await measure_restart(here, upto, fill))

        async def watch() -> None:
            self._minutes.append(await measure_minute(here, upto, self._size.idle_seconds))

        await self._do(f"{upto} sessions at rest, operator restarted", restart)
        await self._do(f"{upto} idle sessions watched for {self._size.idle_seconds:.0f} s", watch)

    async def _move(self, here: Scene) -> None:
        size = self._size
        measures: dict[str, Callable[[], Awaitable[Section]]] = {
            "lives": lambda: measure_lives(here, size.of(WRITTEN_LIVES)),
            "wakes": lambda: measure_wakes(here, size.of(WAKES), size.wake_seconds),
            "warm": lambda: measure_warm(here, size.of(WARM)),
            "rates": lambda: measure_rates(here, size.step_seconds),
            "burst": lambda: measure_burst(here, size.of(BURST)),
        }
        for name, title in MOVES.items():
            if name in size.moves:
                await self._measure(title, measures[name])

    async def _measure(self, title: str, measure: Callable[[], Awaitable[Section]]) -> None:
        async def add() -> None:
            self._moves.append(await measure())

        await self._do(title, add)

    async def _do(self, title: str, action: Callable[[], Awaitable[None]]) -> None:
        try:
            with self._reporter.step(title):
                await action()
        except FAILURES as error:
            # One measurement that fails takes the others' figures with it in no case.
            self._reporter.warn(f"{title}: {type(error).__name__}: {error}")
            self.unmeasured.append(f"{title}: {type(error).__name__}: {error}")
        self._keep()


def _write(folder: Path, machine: Machine, size: Size, run: ScaleRun) -> None:
    report = to_json(machine.to_json(), size.sessions, run.sections, run.unmeasured)
    (folder / "scale.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    title = f"{machine.at[:10]}: {size.sessions} sessions"
    (folder / "scale.md").write_text(
        markdown(title, machine.sentence(), run.sections, run.unmeasured)
    )
