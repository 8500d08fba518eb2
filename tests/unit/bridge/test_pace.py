"""One lane for each chat: what must arrive, and what may be dropped."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from redis import ConnectionError as RedisConnectionError
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
    ("error", "level"),
    [
        (BadRequest("no"), "info"),
        (RedisConnectionError("away"), "info"),
        (KeyError("ours"), "error"),
    ],
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


class Agenda:
    """Time that passes only when everybody sleeps, and only to whoever wakes first."""

    def __init__(self) -> None:
        self.now = 0.0
        self._count = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._count), woken))
        await woken

    async def until_done(self, *works: Awaitable[object]) -> None:
        done = asyncio.gather(*works)
        while not done.done():
            await settled()
            if not done.done():
                self.now, _, woken = heapq.heappop(self._sleepers)
                if not woken.done():
                    woken.set_result(None)
        await done


class Punishing:
    """Telegram, which from its first call on leaves one chat alone for so long, if for any time."""

    def __init__(self, agenda: Agenda, chat: int, seconds: float) -> None:
        self._agenda, self._chat, self._seconds = agenda, chat, seconds
        self._until: float | None = None
        self.calls: defaultdict[int, list[tuple[str, float]]] = defaultdict(list)

    async def say(self, chat: int, text: str) -> None:
        now = self._agenda.now
        self.calls[chat].append((text, now))
        if chat != self._chat:
            return
        self._until = self._until if self._until is not None else now + self._seconds
        if (left := self._until - now) > 0:
            raise RetryAfter(math.ceil(left))


async def a_day_of_two_chats(penalty: float) -> Punishing:
    agenda = Agenda()
    telegram = Punishing(agenda, PRIVATE, penalty)
    lanes = Lanes(lambda: agenda.now, agenda.sleep)

    async def answer(chat: int, at: float, *texts: str) -> None:
        await agenda.sleep(at)
        for text in texts:
            await lanes.send(chat, partial(telegram.say, chat, text))

    answers = (answer(8, at, f"{at}.1", f"{at}.2") for at in range(100))
    await agenda.until_done(answer(PRIVATE, 0, "one", "two", "three"), *answers)
    return telegram


async def test_of_a_penalty_of_two_minutes_only_its_own_chat_knows() -> None:
    free, punished = await a_day_of_two_chats(0), await a_day_of_two_chats(120)
    assert punished.calls[8] == free.calls[8]
    assert len(punished.calls[8]) == 200
    # What it was told to wait, then an empty bucket: never asked again before, and all of it in order.
    told = [("one", 0.0), ("one", 121.0), ("two", 122.0), ("three", 123.0)]
    assert punished.calls[PRIVATE] == told
