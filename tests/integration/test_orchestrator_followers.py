"""Who follows tasks holds connections to Redis: one user cannot hold them all."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from agentsession_core.mailbox.publishing import Publishing
from agentsession_testing.orchestrator import Orchestrator
from agentsession_testing.serving import until_true
from orchestrator_api.deps import Deps
from orchestrator_api.followers import Followers
from orchestrator_api.relay import Relay

TASK = {"kind": "engineering", "request": "Add a list"}
SOON_SECONDS = 10


async def test_one_too_many_does_not_wait(
    orchestrator_on_sqlite: Orchestrator, redis_client: Redis
) -> None:
    stage, streams = orchestrator_on_sqlite, Publishing(redis_client)
    stage.streams = streams
    relay = Relay(stage.database, streams)
    deps: Deps = stage.app.state.deps
    object.__setattr__(deps, "followers", Followers(per_user=1))
    async with stage.client(await stage.token("ada")) as ada:
        task = (await ada.post("/v1/tasks", json=TASK)).json()["id"]
        await relay.publish()
        path = f"/v1/tasks/{task}/events?after=1&wait=20"
        first = asyncio.create_task(ada.get(path, timeout=30))
        await until_true(lambda: deps.followers.waiting("ada") == 1, "the first waits")
        async with asyncio.timeout(SOON_SECONDS):
            second = (await ada.get(path)).json()
        assert (second["items"], second["ended"], first.done()) == ([], False, False)
        await ada.post(f"/v1/tasks/{task}/cancel")
        await relay.publish()
        assert [item["seq"] for item in (await first).json()["items"]] == [2]
    assert deps.followers.waiting("ada") == 0


async def test_all_are_sent_away() -> None:
    followers, ended = Followers(), asyncio.Event()

    async def event() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def failing() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await followers.wait(failing())
    assert await followers.wait(asyncio.sleep(0))
    with followers.place("ada") as one:
        assert one is True
        waits = asyncio.create_task(followers.wait(event()))
        await asyncio.sleep(0)
        followers.send_away()
        assert await waits is False
    assert ended.is_set(), "nothing goes on that nobody waits for"
    with followers.place("ada") as late:
        assert late is False


def test_places() -> None:
    followers = Followers(per_user=2, altogether=3)
    with followers.place("ada") as one, followers.place("ada") as two:
        assert (one, two) == (True, True)
        with followers.place("ada") as more, followers.place("bob") as other:
            assert (more, other) == (False, True)
            with followers.place("eve") as too_many:
                assert too_many is False
    with pytest.raises(KeyError), followers.place("ada"):
        raise KeyError
    assert followers.waiting("ada") == 0
