"""Who is woken by a hint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import cast

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from agentsession_core.mailbox.model import SessionHint
from agentsession_core.mailbox.store import MailboxStore
from agentsession_gateway.hub import LONGEST_DELAY_SECONDS, HintHub, Waiter


class Hints:
    """Yields one list of mailboxes per connection; an exhausted one is a cut connection."""

    def __init__(self, connections: Sequence[Sequence[str]]) -> None:
        self._connections = iter(connections)

    async def hints(self, block_seconds: float) -> AsyncIterator[SessionHint]:
        """As MailboxStore.hints."""
        for mailbox in next(self._connections, ()):
            yield SessionHint("1-1", mailbox, "test")
        raise RedisConnectionError("cut")


def hub_over(*connections: Sequence[str]) -> HintHub:
    return HintHub(cast("MailboxStore", Hints(connections)), lambda: 0.0)


async def follow_for_a_while(
    hub: HintHub, monkeypatch: pytest.MonkeyPatch, cuts: int
) -> list[float]:
    """Follows until the connection was cut so often; answers the waits between."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == cuts:
            raise asyncio.CancelledError

    monkeypatch.setattr("agentsession_gateway.hub.asyncio.sleep", sleep)
    with suppress(asyncio.CancelledError):
        await hub.follow()
    return waits


async def rung(waiter: Waiter) -> bool:
    return await waiter.wait(0)


async def test_a_hint_rings_its_mailbox_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = hub_over(["a"])
    with hub.subscribe("a", "a/1") as a, hub.subscribe("b", "b/1") as b:
        await follow_for_a_while(hub, monkeypatch, cuts=1)
        assert (await rung(a), await rung(b)) == (True, False)
        a.clear()
        assert not await rung(a)


async def test_everyone_is_rung_when_following_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = hub_over([""])
    with hub.subscribe("a", "a/1") as a, hub.subscribe("b", "b/1") as b:
        await follow_for_a_while(hub, monkeypatch, cuts=1)
        assert (await rung(a), await rung(b)) == (True, True)


async def test_waits_grow_while_redis_is_away_and_start_anew_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = hub_over([], [], [], [""], [], [], [], [], [], [], [])
    waits = await follow_for_a_while(hub, monkeypatch, cuts=11)
    assert waits[:6] == [0.1, 0.2, 0.4, 0.1, 0.2, 0.4]
    assert waits[-1] == LONGEST_DELAY_SECONDS
    assert hub.failures == 11


async def test_the_newest_stream_of_a_run_wins() -> None:
    hub = hub_over()
    with hub.subscribe("a", "a/1") as older, hub.subscribe("a", "a/2") as other:
        with hub.subscribe("a", "a/1") as newer:
            assert (older.closed, other.closed, newer.closed) == (True, False, False)
            assert await rung(older)
        assert hub.streams == 1
    assert hub.streams == 0


async def test_no_stream_stays_or_comes_once_the_process_stops() -> None:
    hub = hub_over()
    with hub.subscribe("a", "a/1") as before:
        hub.close()
        with hub.subscribe("b", "b/1") as after:
            assert (before.closed, after.closed) == (True, True)
            assert await rung(after)


async def test_what_nobody_foresaw_leaves_it_deaf_and_is_not_hidden() -> None:
    class Broken:
        async def hints(self, block_seconds: float) -> AsyncIterator[SessionHint]:
            yield SessionHint("1-1", "a", "test")
            raise LookupError("nobody foresaw it")

    hub = HintHub(cast("MailboxStore", Broken()), lambda: 0.0)
    assert not hub.deaf
    with pytest.raises(LookupError):
        await hub.follow()
    assert hub.deaf
