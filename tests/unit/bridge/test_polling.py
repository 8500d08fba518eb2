"""The loop over getUpdates: what moves the offset, what pauses it, what never ends it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis import RedisError
from telegram import Update
from telegram.error import BadRequest, Conflict, NetworkError, RetryAfter

from agentsession_bridge import polling
from agentsession_bridge.metrics import Metrics
from agentsession_bridge.polling import CONFLICT_SECONDS, Poller


class Bot:
    """Answers polls as it is told."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.offsets: list[int | None] = []
        self.hooks_deleted = 0

    async def delete_webhook(self) -> bool:
        self.hooks_deleted += 1
        return True

    async def get_updates(self, offset: int | None, **_: Any) -> tuple[Update, ...]:
        self.offsets.append(offset)
        answer = self._answers.pop(0)
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return tuple(one if isinstance(one, Update) else Update(one) for one in answer)


class World:
    """A poller and all that it does."""

    def __init__(self, *answers: Any, refuse: int | None = None) -> None:
        self.bot = Bot(*answers)
        self.handled: list[int] = []
        self.renewed = 0
        self.renewed_twice = asyncio.Event()
        self.metrics = Metrics()
        self._refuse = refuse
        self.poller = Poller(
            self.bot,  # type: ignore[arg-type]
            self._handle,
            self._renew,
            self.metrics,
            lambda: 5.0,
            lambda: 0.5,
        )

    async def _handle(self, update: Update) -> None:
        if update.update_id == self._refuse:
            raise RedisError("away")
        self.handled.append(update.update_id)

    async def _renew(self) -> None:
        self.renewed += 1
        if self.renewed == 2:
            self.renewed_twice.set()

    def counted(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"agentsession_bridge_{name}_total")


async def test_the_offset_moves_behind_what_was_handled_and_no_further() -> None:
    world = World([3, 4, 5], [5], refuse=5)
    with pytest.raises(RedisError):
        await world.poller.poll_once()
    world._refuse = None
    await world.poller.poll_once()
    assert world.bot.offsets == [None, 5]
    assert world.handled == [3, 4, 5]
    assert world.bot.hooks_deleted == 1


async def test_chats_are_beside_each_other_and_each_in_its_order() -> None:
    def said(number: int, chat: int) -> Update:
        message = {"message_id": number, "date": 1, "chat": {"id": chat, "type": "private"}}
        found = Update.de_json({"update_id": number, "message": message}, None)
        assert found is not None
        return found

    world = World([said(1, 7), said(2, 8), said(3, 7), said(4, 8), said(5, 9)], refuse=2)
    with pytest.raises(RedisError):
        await world.poller.poll_once()
    # Chat 8 stands still, the others go on; all from its first message on comes again.
    assert [number for number in world.handled if number in (1, 3)] == [1, 3]
    assert sorted(world.handled) == [1, 3, 5]
    assert world.poller._offset == 2


async def test_after_a_quiet_week_lower_ids_are_read_too() -> None:
    world = World([900], [], [7])
    for _ in range(3):
        await world.poller.poll_once()
    assert world.bot.offsets == [None, 901, None]
    assert world.handled == [900, 7]


@pytest.mark.parametrize(
    ("error", "failures", "pause"),
    [
        (Conflict("two"), 0, CONFLICT_SECONDS * 1.5),
        (RetryAfter(40), 0, 40.0),
        (NetworkError("lost"), 0, 0.75),
        (NetworkError("lost"), 20, 45.0),
        (RedisError("away"), 1, 1.5),
        (BadRequest("no"), 20, 45.0),
    ],
)
async def test_how_long_it_pauses(error: Exception, failures: int, pause: float) -> None:
    world = World()
    assert await world.poller._pause(error, failures) == pause
    in_conflict = isinstance(error, Conflict)
    assert world.poller.in_conflict == in_conflict
    assert world.counted("poll_conflicts") == in_conflict


async def test_a_poll_from_which_nothing_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "STALLED_SECONDS", 0.01)
    monkeypatch.setattr(polling, "FIRST_RETRY_SECONDS", 0.0)
    world = World(None, [1], None)
    task = asyncio.create_task(world.poller.run())
    async with asyncio.timeout(10):
        await world.renewed_twice.wait()
    task.cancel()
    assert world.handled == [1]
    assert world.counted("poll_stalls") == 2


async def test_a_conflict_is_over_with_the_next_answer() -> None:
    world = World([], Conflict("two"), [])
    await world.poller.poll_once()
    with pytest.raises(Conflict):
        await world.poller.poll_once()
    world.poller.in_conflict = True
    await world.poller.poll_once()
    assert not world.poller.in_conflict
