from __future__ import annotations

import asyncio
from typing import Any

from agentsession_runner.event_sender import (
    BATCH_EVENTS,
    WAITING_EVENTS,
    EventBuffer,
    EventSender,
)
from agentsession_runner.gateway_client import GatewayRefusedError, GatewayUnavailableError
from agentsession_runner.reports import EVENT_LIMIT_BYTES, encode

DEADLINE_SECONDS = 10.0


class Gateway:
    """Takes batches, after the troubles it was given."""

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)
        self.batches: list[list[dict[str, Any]]] = []
        self.taken = asyncio.Event()

    async def post(self, events: list[dict[str, Any]]) -> None:
        if self.troubles:
            raise self.troubles.pop(0)
        self.batches.append(events)
        self.taken.set()

    @property
    def text(self) -> str:
        return "".join(e["data"]["text"] for batch in self.batches for e in batch)


def test_adjacent_texts_are_one_event_and_others_stay_apart() -> None:
    buffer = EventBuffer()
    for text in ("a", "b"):
        buffer.add_text(text)
    buffer.add("tool", {"name": "Bash"})
    buffer.add_text("c")
    events = buffer.take()
    assert [(e["seq"], e["kind"], e["data"]) for e in events] == [
        (0, "delta", {"text": "ab"}),
        (1, "tool", {"name": "Bash"}),
        (2, "delta", {"text": "c"}),
    ]
    assert not buffer


def test_numbers_go_on_over_batches_and_sizes_stay_below_the_limit() -> None:
    buffer = EventBuffer()
    text = "\x01🙂" * 200_000
    buffer.add_text(text)
    events = []
    while buffer:
        batch = buffer.take()
        assert len(batch) <= BATCH_EVENTS
        events += batch
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert all(len(encode(event["data"])) <= EVENT_LIMIT_BYTES for event in events)
    assert "".join(event["data"]["text"] for event in events) == text


def test_what_does_not_fit_is_dropped_and_counted() -> None:
    buffer = EventBuffer()
    buffer.add("state", {"note": "x" * EVENT_LIMIT_BYTES})
    assert not buffer
    for number in range(WAITING_EVENTS + 5):
        buffer.add("tool", {"number": number})
    assert buffer.dropped == 6


async def test_the_first_event_goes_at_once_and_the_rest_merged() -> None:
    gateway = Gateway()
    sender = EventSender(gateway.post, print)
    sender.text("first")
    async with asyncio.timeout(DEADLINE_SECONDS):
        await gateway.taken.wait()
    for number in range(100):
        sender.text(f" {number}")
    await sender.close(DEADLINE_SECONDS)
    assert gateway.text == "first" + "".join(f" {number}" for number in range(100))
    assert len(gateway.batches) == 2


async def test_an_unavailable_gateway_gets_the_same_batch_again() -> None:
    gateway = Gateway(GatewayUnavailableError("away"))
    sender = EventSender(gateway.post, print)
    sender.text("kept")
    await sender.close(DEADLINE_SECONDS)
    assert gateway.text == "kept"


async def test_a_refused_batch_is_given_up() -> None:
    said: list[str] = []
    gateway = Gateway(GatewayRefusedError(410, "unknown_turn"))
    sender = EventSender(gateway.post, said.append)
    sender.text("lost")
    await sender.flush(DEADLINE_SECONDS)
    sender.text("next")
    await sender.close(DEADLINE_SECONDS)
    assert gateway.text == "next"
    assert "unknown_turn" in said[0]


async def test_closing_does_not_wait_for_a_gateway_that_is_away() -> None:
    said: list[str] = []
    gateway = Gateway(*[GatewayUnavailableError("away")] * 100)
    sender = EventSender(gateway.post, said.append)
    sender.text("lost")
    await sender.close(0.1)
    assert gateway.batches == []
    assert "could not be sent" in said[0]
