"""Races of the run's life that a whole process cannot be made to show."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, cast

from agentsession_runner.event_sender import EventSender
from agentsession_runner.gateway_client import (
    GatewayClient,
    GatewayRefusedError,
    GatewayUnavailableError,
)
from agentsession_runner.orders import CancelOrder, DrainOrder, ExportOrder, Message, TurnOrder
from agentsession_runner.reports import TurnReport
from agentsession_runner.session_loop import SHORT_RESULT_BYTES, SessionLoop
from agentsession_testing.serving import until_true

DEADLINE_SECONDS = 10.0


def turn(name: str) -> TurnOrder:
    return TurnOrder(name, 1, 0, (Message("m", "hi"),), 60.0)


class Client:
    """The gateway: byes answer as told, results meet troubles first."""

    def __init__(self) -> None:
        self.byes: deque[Any] = deque()
        self.troubles: deque[Exception] = deque()
        self.results: list[tuple[str, Mapping[str, Any]]] = []
        self.bye_count = 0

    async def bye(self) -> bool:
        self.bye_count += 1
        answer = self.byes.popleft() if self.byes else False
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    async def post_events(self, turn: str, events: list[dict[str, Any]]) -> None:
        raise AssertionError("no events are expected")

    async def post_result(self, turn: str, result: Mapping[str, Any]) -> None:
        if self.troubles:
            raise self.troubles.popleft()
        self.results.append((turn, result))


class Runner:
    """Turns that end when they are let go or stopped."""

    def __init__(self) -> None:
        self.text = "answer"
        self.gates: dict[str, asyncio.Event] = {}
        self.began = asyncio.Event()
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    async def run(self, order: TurnOrder, sender: EventSender) -> TurnReport:
        self._stop.clear()
        self.began.set()
        gate = self.gates.get(order.turn)
        if gate is None:
            return TurnReport("Succeeded", self.text)
        waits = {asyncio.create_task(gate.wait()), asyncio.create_task(self._stop.wait())}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()
        return TurnReport("Cancelled" if self._stop.is_set() else "Succeeded", self.text)


def make(client: Client, runner: Runner) -> SessionLoop:
    return SessionLoop(cast("GatewayClient", client), runner, lambda: 0.0, lambda text: None)


async def finish(work: asyncio.Task[None]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        await work


async def test_a_drain_that_overtakes_the_answer_of_a_bye_is_not_lost() -> None:
    client, runner = Client(), Runner()
    loop = make(client, runner)

    def reopened() -> bool:
        loop.take(turn("t1"))
        loop.take(DrainOrder())
        return True

    client.byes = deque([reopened, False])
    loop.take(DrainOrder())
    await finish(asyncio.create_task(loop.work()))
    assert [name for name, _ in client.results] == ["t1"]
    assert client.bye_count == 2


async def test_a_bye_that_did_not_arrive_is_said_again() -> None:
    client = Client()
    client.byes = deque([GatewayUnavailableError("away"), False])
    loop = make(client, Runner())
    loop.take(DrainOrder())
    await finish(asyncio.create_task(loop.work()))
    assert client.bye_count == 2


async def test_a_refused_bye_is_the_end() -> None:
    client = Client()
    client.byes = deque([GatewayRefusedError(403, "stale_run")])
    loop = make(client, Runner())
    loop.take(DrainOrder())
    await finish(asyncio.create_task(loop.work()))
    assert client.bye_count == 1


async def test_a_result_that_is_too_large_is_cut_once() -> None:
    client, runner = Client(), Runner()
    runner.text = "x" * (SHORT_RESULT_BYTES * 2)
    client.troubles = deque([GatewayRefusedError(413, "too large")])
    loop = make(client, runner)
    loop.take(turn("t1"))
    loop.take(DrainOrder())
    await finish(asyncio.create_task(loop.work()))
    ((name, result),) = client.results
    assert name == "t1"
    assert len(result["text"]) == SHORT_RESULT_BYTES // 4


async def test_another_turn_ends_the_wait_for_a_gateway_that_does_not_take_a_result() -> None:
    client, runner = Client(), Runner()
    client.troubles = deque([GatewayUnavailableError("away")])
    runner.gates["t1"] = asyncio.Event()
    loop = make(client, runner)
    loop.take(turn("t1"))
    work = asyncio.create_task(loop.work())
    await runner.began.wait()
    loop.take(turn("t2"))
    loop.take(turn("t2"))
    loop.take(DrainOrder())
    await finish(work)
    assert [name for name, _ in client.results] == ["t2"]


async def test_a_waiting_turn_can_be_cancelled() -> None:
    client, runner = Client(), Runner()
    loop = make(client, runner)
    loop.take(turn("t1"))
    loop.take(CancelOrder("another"))
    loop.take(CancelOrder("t1"))
    loop.take(DrainOrder())
    await finish(asyncio.create_task(loop.work()))
    ((_, result),) = client.results
    assert result["outcome"] == "Cancelled"
    assert not runner.began.is_set()


async def test_a_run_that_hands_over_its_workspace_leaves_afterwards() -> None:
    client, handed_over = Client(), asyncio.Event()
    taken: list[ExportOrder] = []

    async def export(order: ExportOrder) -> None:
        taken.append(order)
        await handed_over.wait()

    loop = SessionLoop(
        cast("GatewayClient", client),
        Runner(),
        lambda: 0.0,
        lambda text: None,
        export,
    )
    order = ExportOrder("e1", "http://gateway:8080")
    loop.take(order)
    loop.take(DrainOrder())
    loop.take(turn("t1"))
    work = asyncio.create_task(loop.work())
    # A turn does not wait for it, only the end of the run does.
    await until_true(lambda: client.results, "the turn's result is posted", DEADLINE_SECONDS)
    assert (taken, client.bye_count) == ([order], 0)
    handed_over.set()
    await finish(work)
    assert client.bye_count == 1
