"""`make bench-scale`: thousands of sessions with the real operator and gateway, and what they cost."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from redis import RedisError

from localcluster.console import Reporter
from sessionload.api import ApiError
from sessionload.generator import Sample, closed_loop
from sessionload.ground import Ground, build_programs, opened
from sessionload.idle import Minute, idle_section, measure_minute
from sessionload.machine import Machine, describe_machine
from sessionload.restart import measure_restart
from sessionload.scene import Scene, scene
from sessionload.tracker import LateError
from workbench.bench.figures import Section
from workbench.bench.report import markdown, to_json
from workbench.bench.table import make_console, show

THINK_SECONDS = 0.2
FILL_AT_ONCE = 32
FAILURES = (ApiError, LateError, RedisError, TimeoutError, OSError, ValueError, KeyError)
# How much of all sessions is there when idle sessions are measured.
SHARES = (0.1, 0.5, 1.0)


@dataclass(frozen=True)
class Size:
    """How large a run is."""

    sessions: int
    idle_seconds: float
    seed: int


def run_scale(clone: Path, folder: Path, size: Size, reporter: Reporter) -> list[str]:
    """Prints the figures, writes `scale.json` and `scale.md` beside `folder`; answers what failed.

    `folder` gets the ground's state, logs and journals; what was in it is removed.

    Raises ClusterError when there is no ground to measure on.
    """
    programs = build_programs(clone, reporter)
    with opened(clone, folder, programs, THINK_SECONDS, reporter) as ground:
        machine = describe_machine(clone, ground.redis_version())
        run = ScaleRun(size, reporter)
        asyncio.run(run.run(ground, folder / "load.jsonl"))
        machine = machine.after(os.getloadavg()[0])
    _write(folder.parent, machine, size, run)
    show(make_console(), machine.sentence(), run.sections, run.unmeasured)
    return run.unmeasured


class ScaleRun:
    """One run of all measurements."""

    def __init__(self, size: Size, reporter: Reporter) -> None:
        self._size = size
        self._reporter = reporter
        self._minutes: list[Minute] = []
        self.sections: list[Section] = []
        self.unmeasured: list[str] = []

    async def run(self, ground: Ground, journal: Path) -> None:
        """Everything, one after the other."""
        async with scene(ground, journal, self._size.seed, self._reporter.note) as here:
            for share in SHARES:
                await self._fill(here, round(self._size.sessions * share))
            if self._minutes:
                self.sections.append(idle_section(self._minutes))
            await self._do("operator restarted", lambda: self._restart(here))

    async def _fill(self, here: Scene, upto: int) -> None:
        missing = range(len(here.names), upto)
        began = time.monotonic()
        samples: list[Sample] = []

        async def fill() -> None:
            samples.extend(
                await closed_loop(
                    missing, FILL_AT_ONCE, lambda n, at: here.cold("s", n, "fill", at)
                )
            )

        await self._do(f"{len(missing)} sessions live a life", fill)
        failed = [sample for sample in samples if sample.error]
        self._reporter.note(
            f"{len(samples) / (time.monotonic() - began):.1f} lives a second, {FILL_AT_ONCE} at once; "
            f"{len(failed)} failed"
        )
        if failed:
            self.unmeasured.append(f"{len(failed)} lives failed, the first: {failed[0].error}")

        async def watch() -> None:
            self._minutes.append(await measure_minute(here, upto, self._size.idle_seconds))

        await self._do(f"{upto} idle sessions watched for {self._size.idle_seconds:.0f} s", watch)

    async def _restart(self, here: Scene) -> None:
        self.sections.append(await measure_restart(here, len(here.names)))

    async def _do(self, title: str, action: Callable[[], Awaitable[None]]) -> None:
        try:
            with self._reporter.step(title):
                await action()
        except FAILURES as error:
            # One measurement that fails takes the others' figures with it in no case.
            self._reporter.warn(f"{title}: {type(error).__name__}: {error}")
            self.unmeasured.append(f"{title}: {type(error).__name__}: {error}")


def _write(folder: Path, machine: Machine, size: Size, run: ScaleRun) -> None:
    report = to_json(machine.to_json(), size.sessions, run.sections, run.unmeasured)
    (folder / "scale.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    title = f"{machine.at[:10]}: {size.sessions} sessions"
    (folder / "scale.md").write_text(
        markdown(title, machine.sentence(), run.sections, run.unmeasured)
    )
