"""What is over goes; what a Redis has lost is queued again, once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.publishing import Publishing
from agentsession_testing.orchestrator import Orchestrator
from agentsession_testing.serving import until
from agentsession_testing.valkey import entries
from orchestrator_api.relay import Relay
from orchestrator_api.sweeping import Sweeper
from orchestrator_api.tables import GraphNode, IdempotencyKey

TASK = {"kind": "engineering", "request": "Add a list"}


@pytest.fixture
def publishing(redis_client: Redis) -> Publishing:
    return Publishing(redis_client)


@pytest.fixture
def sweeper(orchestrator: Orchestrator, publishing: Publishing) -> Sweeper:
    return Sweeper(orchestrator.database, publishing, orchestrator.now, orchestrator._committed)


async def publish(orchestrator: Orchestrator, publishing: Publishing) -> None:
    assert await Relay(orchestrator.database, publishing).publish() is False


async def in_queue(redis: Redis) -> list[tuple[str, str]]:
    found = await entries(redis, keys.ENGINEERING_QUEUE)
    return [(fields["task_id"], fields.get("command", "")) for _, fields in found]


async def test_what_is_over_goes(orchestrator: Orchestrator, sweeper: Sweeper) -> None:
    async with orchestrator.client(await orchestrator.token("ada", "write", "worker")) as ada:

        async def make(key: str, worker: str) -> None:
            await ada.post("/v1/tasks", json=TASK, headers={"idempotency-key": key})
            nodes = {"worker": worker, "graph": "devops", "nodes": ["deployer"]}
            assert (await ada.post("/v1/work/nodes", json=nodes)).status_code == 204

        await make("old", "w-0")
        orchestrator.moved = timedelta(hours=23, minutes=59)
        await make("new", "w-1")
        await sweeper.forget()
        orchestrator.moved = timedelta(hours=24, minutes=1)
        async with orchestrator.database.reading() as session:
            assert await session.scalar(select(func.count()).select_from(IdempotencyKey)) == 2
        await sweeper.forget()
        async with orchestrator.database.reading() as session:
            assert list(await session.scalars(select(IdempotencyKey.key))) == ["new"]
            assert list(await session.scalars(select(GraphNode.worker))) == ["w-1"]


async def test_a_redis_that_was_emptied(
    orchestrator: Orchestrator, sweeper: Sweeper, publishing: Publishing, redis_client: Redis
) -> None:
    scopes = ("write", "admin", "worker")
    async with orchestrator.client(await orchestrator.token("ada", *scopes)) as ada:
        made = [(await ada.post("/v1/tasks", json=TASK)).json()["id"] for _ in range(3)]
        asked = {"kind": "clear-state", "task_id": made[0]}
        assert (await ada.post("/v1/graphs/commands", json=asked)).status_code == 201
        assert await sweeper.queue_again() == [], "all of it is in the outbox"
        await publish(orchestrator, publishing)
        assert await sweeper.queue_again() == [], "all of it is in the queue"
        running = {"worker": "w-0", "state": "running", "message": "began"}
        await ada.post(f"/v1/work/{made[1]}/reports", json=running)
        await redis_client.flushdb()
        # Two replicas at once.
        await asyncio.gather(sweeper.queue_again(), sweeper.queue_again())
        await publish(orchestrator, publishing)
    assert sorted(await in_queue(redis_client)) == sorted(
        [(made[0], ""), (made[0], "clear-state"), (made[2], "")]
    )
    assert await sweeper.queue_again() == []


async def test_a_long_queue_is_read_to_its_end(
    sweeper: Sweeper, publishing: Publishing, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentsession_core.mailbox.publishing.PAGE", 3)
    for number in range(7):
        await redis_client.xadd("engineering:queue", {"task_id": str(number)})
    found = [fields["task_id"] async for fields in publishing.entries("engineering:queue")]
    assert found == [str(number) for number in range(7)]


async def test_it_goes_on_when_redis_was_away(
    orchestrator: Orchestrator, publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    async def away(_: Sweeper) -> None:
        nonlocal tries
        tries += 1
        raise ConnectionError

    monkeypatch.setattr(Sweeper, "queue_again", away)
    sweeper = Sweeper(orchestrator.database, publishing, orchestrator.now, lambda: None, 0.01)
    running = asyncio.create_task(sweeper.run())

    async def again() -> bool:
        return tries > 2

    await until(again, "it is tried again")
    running.cancel()
