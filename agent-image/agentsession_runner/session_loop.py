"""The run's life after hello: orders in, turns one at a time, results out, drain and bye."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from agentsession_runner.event_sender import EventSender
from agentsession_runner.gateway_client import (
    TOO_LARGE,
    GatewayClient,
    GatewayRefusedError,
    GatewayUnavailableError,
)
from agentsession_runner.ledger import Action, TurnLedger
from agentsession_runner.orders import CancelOrder, ExportOrder, Order, TurnOrder
from agentsession_runner.reports import TurnReport, result_object
from agentsession_runner.turn_runner import stopped_report

FLUSH_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
# A stream that held so long was a good one: the next pauses are short again.
STEADY_SECONDS = 10.0
SHORT_RESULT_BYTES = 128 * 1024


class RunOverError(Exception):
    """The gateway does not serve this run any more; the message says what it answered."""


@dataclass
class Backoff:
    """Growing pauses with jitter; `jitter` gives numbers from 0 to 1."""

    jitter: Callable[[], float]
    seconds: float = FIRST_PAUSE_SECONDS

    async def pause(self) -> None:
        """Wait, and longer the next time."""
        seconds, self.seconds = self.seconds, min(self.seconds * 2, LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(seconds * (0.5 + self.jitter()))

    def reset(self) -> None:
        """It worked: begin with short pauses again."""
        self.seconds = FIRST_PAUSE_SECONDS


class Turns(Protocol):
    """Carries out one turn after the other."""

    def stop(self) -> None:
        """Stop the running turn."""

    async def run(self, order: TurnOrder, sender: EventSender) -> TurnReport:
        """Carry out a turn to its end, whatever the end is."""


class SessionLoop:
    """Serves the run until it is drained."""

    def __init__(
        self,
        client: GatewayClient,
        runner: Turns,
        jitter: Callable[[], float],
        report: Callable[[str], None],
        export: Callable[[ExportOrder], Awaitable[None]] | None = None,
    ) -> None:
        self._client = client
        self._runner = runner
        self._export = export
        self._exports: set[asyncio.Task[None]] = set()
        self._jitter = jitter
        self._report = report
        self._ledger = TurnLedger()
        self._next: TurnOrder | None = None
        self._cancelled: str | None = None
        self._undelivered: list[str] = []
        self._draining = False
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Take orders and carry them out until the run is over.

        Raises:
            RunOverError: the gateway refuses it.
        """
        tasks = {asyncio.create_task(self.read_orders()), asyncio.create_task(self.work())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def read_orders(self) -> None:
        """Keep the stream open for ever.

        Raises:
            RunOverError: the gateway refuses it.
        """
        backoff = Backoff(self._jitter)
        loop = asyncio.get_running_loop()
        while True:
            opened = loop.time()
            try:
                async for order in self._client.orders():
                    self.take(order)
            except GatewayUnavailableError as error:
                self._report(f"{error}; connecting again")
            except GatewayRefusedError as refusal:
                raise RunOverError(f"the gateway refused the stream with {refusal}") from None
            if loop.time() - opened > STEADY_SECONDS:
                backoff.reset()
            await backoff.pause()

    def take(self, order: Order) -> None:
        """Take one order; never waits, so that a cancel is heard while a turn runs."""
        if isinstance(order, TurnOrder):
            self._take_turn(order)
        elif isinstance(order, CancelOrder):
            if order.turn == self._ledger.running:
                self._runner.stop()
            elif order.turn == self._ledger.waiting:
                self._cancelled = order.turn
        elif isinstance(order, ExportOrder):
            if self._export is not None:
                self._begin_export(order, self._export)
        else:
            self._draining = True
        self._wake.set()

    def _begin_export(
        self, order: ExportOrder, export: Callable[[ExportOrder], Awaitable[None]]
    ) -> None:
        """Beside whatever runs: a person may want a look at what a turn is doing."""

        async def carry_out() -> None:
            await export(order)

        task = asyncio.create_task(carry_out())
        self._exports.add(task)
        task.add_done_callback(self._export_ended)

    def _export_ended(self, task: asyncio.Task[None]) -> None:
        self._exports.discard(task)
        self._wake.set()

    async def work(self) -> None:
        """Carry out turns until the run is drained."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._next is not None:
                order, self._next = self._next, None
                await self._carry_out(order)
            while self._undelivered:
                await self._deliver(self._undelivered.pop(0))
            # A workspace on its way is handed over before the run leaves.
            is_free = self._next is None and not self._exports
            if self._draining and is_free and await self._say_bye():
                return

    def _take_turn(self, order: TurnOrder) -> None:
        action = self._ledger.decide(order.turn)
        if action is Action.REPOST:
            self._undelivered.append(order.turn)
        elif action is not Action.IGNORE:
            self._next = order
            self._ledger.await_turn(order.turn)
            if action is Action.REPLACE:
                self._report("the gateway gave another turn: the running one is stopped")
                self._runner.stop()

    async def _carry_out(self, order: TurnOrder) -> None:
        turn = order.turn
        self._ledger.begin(turn)
        sender = EventSender(lambda events: self._client.post_events(turn, events), self._report)
        try:
            if turn == self._cancelled:
                report = stopped_report()
            else:
                report = await self._runner.run(order, sender)
        except BaseException:
            sender.abort()
            raise
        await sender.close(FLUSH_SECONDS)
        self._note(turn, report)
        self._ledger.finish(turn, result_object(report))
        await self._deliver(turn)

    async def _deliver(self, turn: str) -> None:
        backoff = Backoff(self._jitter)
        result = self._ledger.result(turn)
        while result is not None:
            try:
                await self._client.post_result(turn, result)
                break
            except GatewayUnavailableError as error:
                if self._next is not None:
                    self._report(f"the result of turn {turn} is given up: another turn waits")
                    return
                self._report(f"the result of turn {turn} was not taken: {error}; trying again")
                await backoff.pause()
            except GatewayRefusedError as refusal:
                self._report(f"the result of turn {turn} was refused with {refusal}")
                if refusal.status != TOO_LARGE or len(str(result["text"])) <= SHORT_RESULT_BYTES:
                    break
                result = {**result, "text": str(result["text"])[: SHORT_RESULT_BYTES // 4]}
        self._ledger.settle(turn)

    async def _say_bye(self) -> bool:
        backoff = Backoff(self._jitter)
        while self._next is None:
            # A drain that comes before the answer belongs to what the answer reopened.
            self._draining = False
            try:
                reopened = await self._client.bye()
            except GatewayUnavailableError as error:
                self._draining = True
                self._report(f"bye: {error}; trying again")
                await backoff.pause()
            except GatewayRefusedError as refusal:
                self._report(f"bye was refused with {refusal}")
                return self._next is None
            else:
                return not reopened
        return False

    def _note(self, turn: str, report: TurnReport) -> None:
        cause = f": {report.problem.code}" if report.problem is not None else ""
        self._report(f"turn {turn} ended {report.outcome}{cause}")
