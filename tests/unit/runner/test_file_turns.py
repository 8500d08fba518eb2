"""A turn with its files: what is waited for, what is said, what a stop ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from agentsession_runner.event_sender import EventSender
from agentsession_runner.file_turns import FileTurns
from agentsession_runner.gateway_client import (
    GatewayClient,
    GatewayRefusedError,
    GatewayUnavailableError,
)
from agentsession_runner.inbox import Inbox
from agentsession_runner.orders import Attachment, Message, TurnOrder
from agentsession_runner.outbox import Outbox
from agentsession_runner.reports import TurnReport
from agentsession_runner.transfer import Transfer
from agentsession_runner.turn_runner import TurnRunner
from agentsession_runner.workspace import Workspace

ORDER = TurnOrder("t1", 1, 1, (Message("m1", "hi"),), 60.0)
WITH_FILE = replace(ORDER, messages=(Message("m1", "hi", (), (Attachment("f", "a.txt", 1),)),))
SENDER = cast("EventSender", None)


@dataclass
class Agent:
    """In the place of a TurnRunner."""

    report: TurnReport = field(default_factory=lambda: TurnReport("Succeeded", "done"))
    orders: list[TurnOrder] = field(default_factory=list)

    def stop(self) -> None:
        pass

    async def run(self, order: TurnOrder, sender: EventSender) -> TurnReport:
        self.orders.append(order)
        return self.report


@dataclass
class FakeInbox:
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, order: TurnOrder, until: float) -> TurnOrder:
        self.asked.set()
        await self.gate.wait()
        return replace(order, messages=(Message("m1", "hi", ("inbox/m1/a.txt",)),))


@dataclass
class Gateway:
    """In the place of client and transfer: what it holds, and what it refuses by number."""

    held: dict[int, bytes] = field(default_factory=dict)
    refuses: dict[int, Exception] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    async def begin_file(self, turn: str, number: int, name: str, size: int) -> str:
        self.names.append(name)
        if number in self.refuses:
            raise self.refuses[number]
        return "upload"

    async def send(self, path: str, pieces: Iterable[bytes]) -> None:
        number = int(path.split("/")[-2])
        self.held[number] = b"".join(pieces)


@dataclass
class Stage:
    """A wrapped agent on a workspace of the test."""

    root: Path
    agent: Agent = field(default_factory=Agent)
    inbox: FakeInbox = field(default_factory=FakeInbox)
    gateway: Gateway = field(default_factory=Gateway)

    def turns(self) -> FileTurns:
        async def at_once(_seconds: float) -> None:
            await asyncio.sleep(0)

        client, transfer = cast("GatewayClient", self.gateway), cast("Transfer", self.gateway)
        return FileTurns(
            cast("TurnRunner", self.agent),
            cast("Inbox", self.inbox),
            Outbox(self.root, client, transfer, lambda _: None, at_once),
            Workspace(self.root),
            lambda _: None,
        )

    def put(self, name: str, content: str = "x") -> None:
        (self.root / "outbox").mkdir(exist_ok=True)
        (self.root / "outbox" / name).write_text(content)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_the_agent_begins_when_its_files_are_there(stage: Stage) -> None:
    turns = stage.turns()
    running = asyncio.create_task(turns.run(WITH_FILE, SENDER))
    await asyncio.wait_for(stage.inbox.asked.wait(), 10)
    assert stage.agent.orders == []
    stage.inbox.gate.set()
    assert (await running).outcome == "Succeeded"
    [order] = stage.agent.orders
    assert order.messages[0].files == ("inbox/m1/a.txt",)
    assert 0 < order.remaining_seconds < WITH_FILE.remaining_seconds


async def test_a_stop_while_they_are_fetched_ends_the_turn(stage: Stage) -> None:
    turns = stage.turns()
    running = asyncio.create_task(turns.run(WITH_FILE, SENDER))
    await asyncio.wait_for(stage.inbox.asked.wait(), 10)
    turns.stop()
    assert (await running).outcome == "Cancelled"
    assert stage.agent.orders == []
    stage.inbox.gate.set()
    assert (await turns.run(WITH_FILE, SENDER)).outcome == "Succeeded"


async def test_what_is_sent_is_numbered_in_the_result(stage: Stage) -> None:
    stage.put("a.txt", "one")
    stage.put("b.txt", "two")
    report = await stage.turns().run(ORDER, SENDER)
    assert (report.text, report.files) == ("done", (0, 1))
    assert sorted(stage.gateway.held.values()) == [b"one", b"two"]


async def test_what_is_not_sent_is_told_to_the_person_and_then_to_the_agent(stage: Stage) -> None:
    stage.put("a.txt")
    stage.put("b.txt")
    stage.gateway.refuses = {0: GatewayRefusedError(409, "100 MB wait already.")}
    turns = stage.turns()
    report = await turns.run(ORDER, SENDER)
    assert report.text.startswith("done\n\n[")
    assert report.text.endswith(".txt was not sent: 100 MB wait already.]")
    assert report.files == (1,)
    await turns.run(replace(ORDER, turn="t2"), SENDER)
    await turns.run(replace(ORDER, turn="t3"), SENDER)
    said = [order.messages[0].text for order in stage.agent.orders]
    assert "100 MB wait already" in said[1]
    assert (said[0], said[1][-2:], said[2]) == ("hi", "hi", "hi")


async def test_a_gateway_of_before_has_no_such_routes(stage: Stage) -> None:
    stage.put("a.txt")
    stage.gateway.refuses = {0: GatewayRefusedError(404, "Not Found")}
    report = await stage.turns().run(ORDER, SENDER)
    assert (report.outcome, report.files) == ("Succeeded", ())
    assert "a.txt was not sent: the gateway is of a release that takes no files" in report.text


async def test_a_turn_whose_time_is_over_does_not_wait_for_a_gateway_that_is_away(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentsession_runner.file_turns.LEAST_SEND_SECONDS", 0.05)
    stage.put("a.txt")
    stage.gateway.refuses = {0: GatewayUnavailableError("away")}
    stage.agent.report = TurnReport("TimedOut", "half")
    report = await stage.turns().run(replace(ORDER, remaining_seconds=0.0), SENDER)
    assert report.outcome == "TimedOut"
    assert "a.txt was not sent" in report.text


async def test_nothing_of_a_stopped_turn_is_sent_with_the_next(stage: Stage) -> None:
    stage.put("a.txt")
    stage.agent.report = TurnReport("Cancelled", "")
    turns = stage.turns()
    assert (await turns.run(ORDER, SENDER)).files == ()
    stage.agent.report = TurnReport("Succeeded", "done")
    assert (await turns.run(replace(ORDER, turn="t2"), SENDER)).files == ()
    assert stage.gateway.names == []
    assert "a.txt was not sent: the work was stopped" in stage.agent.orders[1].messages[0].text
