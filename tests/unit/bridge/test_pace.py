"""One lane for each chat: what must arrive, and what may be dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs
from telegram.error import BadRequest, RetryAfter

from agentsession_bridge.pace import Lanes, Pace

PRIVATE = 7


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class Calls:
    """What went out, and when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.made: list[tuple[str, float]] = []

    def call(self, name: str, error: Exception | None = None) -> Callable[[], Awaitable[str]]:
        async def make() -> str:
            self.made.append((name, round(self._clock.now, 3)))
            if error is not None:
                raise error
            return name

        return make


def lanes() -> tuple[Lanes, Calls]:
    clock = Clock()
    return Lanes(lambda: clock.now, clock.sleep), Calls(clock)


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_a_bucket_lets_a_burst_out_and_then_one_an_interval() -> None:
    pace = Pace(1.0)
    for _ in range(4):
        assert pace.wait(0) == 0
        pace.count(0)
    assert pace.wait(0) == 1.0
    assert pace.wait(0.25) == 0.75
    pace.punish(1, 10)
    assert pace.wait(2) == 9.0
    assert pace.wait(11) == 1.0


async def test_of_previews_of_one_key_the_newest_goes_out() -> None:
    lane, calls = lanes()
    for name in ("a", "b", "c"):
        lane.preview(PRIVATE, "turn", calls.call(name))
    lane.preview(PRIVATE, "other", calls.call("d"))
    await settled()
    assert [name for name, _ in calls.made] == ["c", "d"]


async def test_previews_leave_room_for_the_message() -> None:
    lane, calls = lanes()
    for name in ("a", "b"):
        lane.preview(PRIVATE, name, calls.call(name))
    await settled()
    for name in ("stopping", "stopped"):
        assert await lane.send(PRIVATE, calls.call(name)) == name
    assert set(dict(calls.made).values()) == {0.0}


async def test_a_dropped_preview_never_goes_out() -> None:
    lane, calls = lanes()
    lane.preview(PRIVATE, "turn", calls.call("a"))
    lane.drop_preview(PRIVATE, "turn")
    lane.drop_preview(8, "turn")
    await lane.send(PRIVATE, calls.call("final"))
    assert [name for name, _ in calls.made] == ["final"]


async def test_a_preview_that_fails_is_dropped_and_its_penalty_kept() -> None:
    lane, calls = lanes()
    lane.preview(PRIVATE, "turn", calls.call("a", RetryAfter(30)))
    await settled()
    assert await lane.send(PRIVATE, calls.call("final")) == "final"
    assert calls.made == [("a", 0.0), ("final", 31.0)]
    assert await lane.send(8, calls.call("elsewhere")) == "elsewhere"


@pytest.mark.parametrize(
    ("error", "level"), [(BadRequest("no"), "info"), (KeyError("ours"), "error")]
)
async def test_a_preview_that_fails_stops_nothing_and_only_a_fault_of_ours_is_an_error(
    error: Exception, level: str
) -> None:
    lane, calls = lanes()
    with capture_logs() as said:
        lane.preview(PRIVATE, "turn", calls.call("a", error))
        lane.preview(PRIVATE, "other", calls.call("b"))
        await settled()
    assert [name for name, _ in calls.made] == ["a", "b"]
    assert [line["log_level"] for line in said] == [level]
