"""Load on any installation: cold, resumed or warm sessions, open loop or in a burst, beside plain Jobs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from agentsession_core import kube
from agentsession_core.mailbox.connect import connect
from agentsession_core.mailbox.store import MailboxStore
from sessionload.api import Api, sessions_path
from sessionload.arrivals import burst, poisson
from sessionload.generator import LABEL, Generator, Habits, Kind, Sample, open_loop
from sessionload.plain import PlainPods
from sessionload.records import Journal
from sessionload.tracker import Tracker
from sessionload.windows import windows
from workbench.bench.figures import Figure, Section, Unit

LIVE_SECONDS = 600


@dataclass(frozen=True)
class Load:
    """What is sent. `rate` per second for `seconds`, or `count` at once where `rate` is None.

    `plain_every`: one plain Job for so many sessions, 0 for none; `plain_image` is what it runs.
    """

    kind: Kind
    rate: float | None
    seconds: float
    count: int
    seed: int
    plain_every: int
    plain_image: str

    @property
    def pattern(self) -> str:
        """In words, as the journal has it."""
        return f"poisson {self.rate:g}/s" if self.rate else f"burst of {self.count}"

    def moments(self) -> list[float]:
        """When objects are sent, in seconds from the start."""
        return poisson(self.rate, self.seconds, self.seed) if self.rate else burst(self.count)


@dataclass(frozen=True)
class Target:
    """Where to: KUBECONFIG names the cluster."""

    namespace: str
    redis_url: str
    redis_password: str
    journal: Path


async def run_load(target: Target, load: Load) -> Section:
    """Sends the load, removes what it made, answers its figures. Raises ApiError, RedisError."""
    async with _connected(target) as (api, generator, plain):
        run = _Run(generator, plain, load, os.getpid())
        try:
            return await run.send()
        finally:
            await api.delete(sessions_path(target.namespace), {"labelSelector": LABEL})


class _Run:
    def __init__(self, generator: Generator, plain: PlainPods, load: Load, number: int) -> None:
        self._generator = generator
        self._plain = plain
        self._load = load
        self._prefix = f"load-{number}"
        self._jobs: list[asyncio.Task[Sample]] = []

    async def send(self) -> Section:
        """Everything of the load."""
        moments = self._load.moments()
        if self._load.kind is Kind.COLD:
            samples = await open_loop(moments, self._cold)
        else:
            # Each is woken once: warm ones have a run that lives on, resumed ones have none.
            await open_loop(burst(len(moments)), self._before)
            samples = await open_loop(moments, self._wake)
        return _section(self._load, samples, await asyncio.gather(*self._jobs))

    async def _cold(self, number: int, intended: float) -> Sample:
        self._beside(number, intended)
        return await self._generator.create(self._sample(number, intended), Habits())

    async def _before(self, number: int, intended: float) -> Sample:
        sample = self._sample(number, intended)
        sample.kind, sample.pattern = Kind.COLD, "before"
        return await self._generator.create(sample, self._habits)

    async def _wake(self, number: int, intended: float) -> Sample:
        self._beside(number, intended)
        return await self._generator.wake(self._sample(number, intended), self._habits)

    @property
    def _habits(self) -> Habits:
        return Habits(suspend_after=LIVE_SECONDS if self._load.kind is Kind.WARM else 0)

    def _sample(self, number: int, intended: float) -> Sample:
        return Sample(f"{self._prefix}-{number}", self._load.kind, self._load.pattern, intended)

    def _beside(self, number: int, intended: float) -> None:
        load = self._load
        if load.plain_every and number % load.plain_every == 0:
            name = f"{self._prefix}-plain-{number}"
            sample = Sample(name, Kind.PLAIN, load.pattern, intended)
            job = self._generator.plain(sample, self._plain.first_instruction, load.plain_image)
            self._jobs.append(asyncio.create_task(job))


@asynccontextmanager
async def _connected(target: Target) -> AsyncIterator[tuple[Api, Generator, PlainPods]]:
    password = SecretStr(target.redis_password) if target.redis_password else None
    journal = Journal(target.journal)
    async with (
        kube.connect("sessionload") as client,
        connect(target.redis_url, password) as redis,
        asyncio.TaskGroup() as followers,
    ):
        api, store = Api(client), MailboxStore(redis)
        tracker, plain = Tracker(api, target.namespace), PlainPods(api, target.namespace)
        following = [followers.create_task(work.run()) for work in (tracker, plain)]
        try:
            yield api, Generator(api, target.namespace, store, tracker, journal), plain
        finally:
            for task in following:
                task.cancel()
            journal.close()


def _section(load: Load, samples: Sequence[Sample], jobs: Sequence[Sample]) -> Section:
    rows = (
        ("ready", "request → hello", [s.ready_seconds for s in samples]),
        ("answer", "request → answer in status", [s.answer_seconds for s in samples]),
        ("plain", "plain Job created → its pod runs", [s.ready_seconds for s in jobs]),
    )
    figures = []
    for key, title, values in rows:
        seen = tuple(value for value in values if value is not None)
        if seen and not (load.kind is Kind.WARM and key == "ready"):
            figures.append(Figure(f"load.{key}", title, Unit.SECONDS, seen))
    began = samples[0].intended if samples else 0.0
    shown = [(s.intended - began, s.answer_seconds) for s in samples if s.answer_seconds]
    per_window = "; ".join(
        f"{w.start:.0f} s: {w.p50:.2f}, {w.p95:.2f}, {w.p99:.2f}" for w in windows(shown)
    )
    notes = [f"Request → answer by windows of 10 s, p50, p95, p99 in seconds: {per_window}."]
    failed = [sample.error for sample in (*samples, *jobs) if sample.error]
    notes += [f"{len(failed)} failed, the first: {failed[0]}."] if failed else []
    title = f"{len(samples)} {load.kind} sessions, {load.pattern}, seed {load.seed}"
    return Section(title, tuple(figures), tuple(notes))
