"""The bench put together: every call on a database, memory, and the command's start."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from workbench.bench.figures import Figure, Section, Unit
from workbench.bench.report import to_json
from workbench.bench.table import make_console, show
from workbench.console import Reporter
from workbench.rates.calls import CALLS, Call, Request
from workbench.rates.driving import Driven, drive
from workbench.rates.filling import Size
from workbench.rates.ground import SQLITE, Ground, new_ground
from workbench.rates.machine import machine_sentence, version_of
from workbench.rates.people import World
from workbench.rates.report import OnDatabase, Rate, page, terminal_table
from workbench.rates.starts import measure_starts

MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True)
class Pace:
    """How hard and how long: seconds for each call and before it, callers at once, starts."""

    seconds: float
    warm_up: float
    callers: int
    starts: int


class Bench:
    """Measures; what it has found is kept in `found`, a database after the other."""

    def __init__(self, reporter: Reporter, pace: Pace, size: Size) -> None:
        self.found: list[OnDatabase] = []
        self._reporter = reporter
        self._pace = pace
        self._size = size
        self._at = datetime.now(UTC)
        self._memory: list[Figure] = []
        self._starts: list[Section] = []

    async def measure(self, kind: str) -> None:
        """All calls on a database of that kind. Raises WorkbenchError; OSError when the API is dead."""
        async with AsyncExitStack() as stack:
            with self._reporter.step(f"{kind}: filled, its API started"):
                ground = await stack.enter_async_context(new_ground(kind, self._size))
            before = os.getloadavg()[0]
            self._note(kind, "when it has started", ground.memory()["VmRSS"])
            client = await stack.enter_async_context(ground.client(self._pace.callers))
            rates = [await self._rate(kind, client, ground.world, call) for call in CALLS]
            load = (before, os.getloadavg()[0])
            self._note(kind, "after the calls", ground.memory()["VmRSS"])
            self._note(kind, "at most", ground.memory()["VmHWM"])
            if kind == SQLITE:
                with self._reporter.step("the command's start"):
                    self._starts.append(await asyncio.to_thread(self._start, ground))
        self.found.append(OnDatabase(version_of(kind), tuple(rates), load))

    def show(self) -> None:
        """Prints the tables."""
        console = make_console()
        for one in self.found:
            console.print()
            console.print(one.title, style="bold", markup=False)
            console.print(terminal_table(one))
        show(console, machine_sentence(), self._sections, [])

    def write(self, clone: Path) -> None:
        """Writes `.build/bench-api.json` and `.build/bench-api.md`."""
        folder = clone / ".build"
        folder.mkdir(exist_ok=True)
        machine = {"sentence": machine_sentence(), "at": self._at.isoformat(timespec="seconds")}
        rest = to_json(machine, self._pace.starts, self._sections, [])
        calls = {one.title: {r.call: r.to_json() for r in one.rates} for one in self.found}
        text = json.dumps({**rest, "calls": calls}, indent=2, ensure_ascii=False)
        (folder / "bench-api.json").write_text(text + "\n")
        title = f"{self._at:%Y-%m-%d}: the orchestrator's API"
        (folder / "bench-api.md").write_text(
            page(title, machine_sentence(), self.found, self._sections, list(self._notes()))
        )

    @property
    def _sections(self) -> list[Section]:
        return [Section("Memory of the API's process", tuple(self._memory)), *self._starts]

    def _notes(self) -> Iterator[str]:
        pace = self._pace
        yield (
            f"One process of `orchestrator-api serve`, {pace.callers} callers, each of whom asks again as "
            f"soon as it is answered, {pace.seconds:g} s for each call after {pace.warm_up:g} s of it "
            "that are not counted. The callers are one further process on the same machine, and so are "
            "the database and Redis: the first row says what asking alone can reach."
        )
        yield f"There are {self._size.sentence()}. A commit is on the disk before it is answered."

    async def _rate(self, kind: str, client: httpx.AsyncClient, world: World, call: Call) -> Rate:
        numbers = itertools.count()

        def requests() -> Iterator[Request]:
            while (request := call.request(world, next(numbers))) is not None:
                yield request

        async def so_long(seconds: float) -> Driven:
            return await drive(
                client,
                requests(),
                callers=self._pace.callers,
                seconds=seconds,
                clock=time.perf_counter,
            )

        with self._reporter.step(f"{kind}: {call.title}"):
            await so_long(self._pace.warm_up)
            return Rate.of(call.title, await so_long(self._pace.seconds))

    def _start(self, ground: Ground) -> Section:
        return measure_starts(self._pace.starts, ground.environment())

    def _note(self, kind: str, when: str, size: int) -> None:
        title = f"{kind}, {when}"
        self._memory.append(Figure(f"memory.{title}", title, Unit.MEBIBYTES, (size / MEBIBYTE,)))
