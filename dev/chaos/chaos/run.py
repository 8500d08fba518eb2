"""A whole run: traffic and faults, then quiet, then the checks of the end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaos.faults import Faults
from chaos.ground import Ground, process_ground
from chaos.ledger import Ledger, Violation, figures
from chaos.leftovers import delete_sessions, wait_for_nothing
from chaos.report import Report
from chaos.schedule import Fault, Planned, make_schedule
from chaos.traffic import Person, Traffic, people
from chaos.watching import Watching

LOOK_SECONDS: Final = 0.2
SABOTAGE_SECONDS: Final = 90.0
LOG_LINES: Final = 60
# More than the thirty that a full run must have done: some find nothing to hit.
LEAST_OF_EACH: Final = 40


@dataclass(frozen=True)
class Wish:
    """What kind of run: `faults` of `kinds` in `minutes` under the traffic of `sessions`."""

    seed: int
    minutes: float
    sessions: int
    faults: int
    kinds: tuple[Fault, ...] = tuple(Fault)
    operators: int = 1
    # Longest backoff, sweep and hello together: who has no answer by then gets none.
    settle_seconds: float = 120.0
    # An orphaned mailbox is purged after a minute.
    gone_seconds: float = 100.0


class Clock:
    """Seconds since the run began."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() - self._start


Sabotage = Callable[[Ground, Ledger], Awaitable[None]]


async def run_chaos(
    wish: Wish, folder: Path, program: str, sabotage: Sabotage | None = None
) -> Report:
    """Runs it and answers the report; a broken invariant is in it, never raised.

    `sabotage` is called before the quiet: a test breaks what the checks have to find.
    """
    ledger = Ledger()
    async with process_ground(folder, program, wish.seed, wish.operators, ledger) as ground:
        return await _Run(wish, ground, ledger, sabotage).run()


class _Run:
    def __init__(
        self, wish: Wish, ground: Ground, ledger: Ledger, sabotage: Sabotage | None
    ) -> None:
        self._wish = wish
        self._sabotage = sabotage
        self._ground = ground
        self._ledger = ledger
        self._clock = Clock()
        seconds = wish.minutes * 60
        self._schedule = make_schedule(wish.seed, seconds, wish.faults, wish.kinds, LEAST_OF_EACH)
        counted = Counter(planned.fault for planned in self._schedule)
        # Never more than twice as dense as planned.
        pauses = {fault: seconds / number / 2 for fault, number in counted.items()}
        self._faults = Faults(ground, self._note, pauses)

    async def run(self) -> Report:
        wish, seconds = self._wish, self._wish.minutes * 60
        persons = people(wish.sessions, wish.seed)
        watching = Watching(self._ground, self._ledger, self._clock)
        eyes = [
            asyncio.create_task(watching.read_answers(persons)),
            asyncio.create_task(watching.look(persons)),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                traffic = Traffic(self._ground, self._ledger, wish.seed, self._clock)
                group.create_task(self._write(traffic, persons, seconds))
                for planned in self._schedule:
                    group.create_task(self._at(planned))
            if self._sabotage is not None:
                async with asyncio.timeout(SABOTAGE_SECONDS):
                    await self._sabotage(self._ground, self._ledger)
            self._note("quiet: nothing is broken and nobody writes any more")
            await self._settle(eyes)
            self._ledger.close()
            await self._check_turns(persons)
            await self._check_end()
        finally:
            ended = [eye for eye in eyes if eye.done()]
            await _cancel(eyes)
        for eye in ended:
            eye.result()
        return self._report()

    async def _write(self, traffic: Traffic, persons: list[Person], until: float) -> None:
        await traffic.run(persons, until)
        self._faults.over = True

    async def _at(self, planned: Planned) -> None:
        await asyncio.sleep(max(0.0, planned.at - self._clock()))
        await self._faults.carry_out(planned)

    async def _settle(self, eyes: list[asyncio.Task[None]]) -> None:
        end = self._clock() + self._wish.settle_seconds
        while self._ledger.waiting_everywhere() and self._clock() < end:
            for eye in eyes:
                if eye.done():
                    eye.result()
            await asyncio.sleep(LOOK_SECONDS)

    async def _check_turns(self, persons: list[Person]) -> None:
        """A prompt's answers are not kept: the sum of turns says that each was one."""
        for person in persons:
            if not person.by_prompt:
                continue
            box = self._ledger.mailbox(person.name)
            given_up = sum(answer.outcome == "DeadLettered" for answer in box.answers)
            wanted = len(box.messages) - given_up
            turns = (await self._ground.store.state(person.name)).usage.turns
            if turns != wanted:
                self._ledger.violate(
                    "answered once", person.name, f"{turns} turns for {wanted} prompts"
                )

    async def _check_end(self) -> None:
        await delete_sessions(self._ground)
        for left in await wait_for_nothing(self._ground, self._wish.gone_seconds):
            self._ledger.violate("nothing is left", "", left)

    def _note(self, what: str) -> None:
        with (self._ground.logs / "timeline.log").open("a", encoding="utf-8") as timeline:
            timeline.write(f"{self._clock():9.3f} {what}\n")

    def _write_histories(self) -> None:
        """Every mailbox's history beside the logs, for whoever wants to know more."""
        for box in self._ledger.mailboxes.values():
            text = "\n".join(box.events) + "\n"
            (self._ground.folder / f"mailbox-{box.name}.txt").write_text(text, encoding="utf-8")

    def _report(self) -> Report:
        self._write_histories()
        ledger, ground = self._ledger, self._ground
        return Report(
            seed=self._wish.seed,
            seconds=self._clock(),
            sessions=self._wish.sessions,
            operators=self._wish.operators,
            faults={fault.value: self._faults.done[fault] for fault in self._wish.kinds},
            missed={fault.value: n for fault, n in self._faults.missed.items()},
            evicted=self._faults.evicted,
            api=dict(ground.api.counted),
            starts={worker.name: worker.starts for worker in ground.workers},
            own_ends=[end for worker in ground.workers for end in worker.own_ends],
            runs=ground.node.started,
            replacements=list(ground.node.occupancy.replacements),
            figures=figures(ledger.mailboxes.values(), ledger.violations),
            violations=list(ledger.violations),
            evidence=[self._evidence(violation) for violation in ledger.violations[:5]],
        )

    def _evidence(self, violation: Violation) -> str:
        """The mailbox's history and the log lines of the ids."""
        box = self._ledger.mailboxes.get(violation.mailbox)
        history = box.events if box else []
        wanted = [name for name in (violation.mailbox, *violation.ids) if name]
        lines = [
            f"{log.name}: {line}"
            for log in sorted(self._ground.logs.glob("*.log"))
            for line in log.read_text(errors="replace").splitlines()
            if any(name in line for name in wanted)
        ]
        return "\n".join(["history", *history, "logs", *lines[-LOG_LINES:]])


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    """Cancels again what a client has caught: a run may not hang at its end."""
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=1)
