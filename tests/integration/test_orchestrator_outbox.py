"""The outbox: nothing is lost and nothing is told twice, whoever dies when."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.publishing import Publishing
from agentsession_testing.orchestrator import Orchestrator, opened
from agentsession_testing.serving import until
from agentsession_testing.valkey import Valkey, entries
from orchestrator_api.relay import Relay

TASK = {"kind": "engineering", "request": "Add a list"}


async def queued(orchestrator: Orchestrator, count: int = 1) -> list[str]:
    async with orchestrator.client(await orchestrator.token("ada")) as ada:
        return [(await ada.post("/v1/tasks", json=TASK)).json()["id"] for _ in range(count)]


async def in_queue(redis: Redis) -> list[str]:
    return [fields["task_id"] for _, fields in await entries(redis, keys.ENGINEERING_QUEUE)]


async def test_a_task_is_told_once(orchestrator: Orchestrator, redis_client: Redis) -> None:
    (task,) = await queued(orchestrator)
    relay = Relay(orchestrator.database, Publishing(redis_client))
    assert await relay.publish() is False
    assert await relay.publish() is False
    ((_, fields),) = await entries(redis_client, keys.ENGINEERING_QUEUE)
    assert fields.keys() == {"task_id", "project_id", "user_id", "request_id", "callback_stream"}
    assert (fields["task_id"], fields["user_id"]) == (task, "ada")
    assert fields["callback_stream"] == "user:ada:events"
    ((_, event),) = await entries(redis_client, keys.task_events(task))
    assert (event["task"], event["seq"]) == (task, "1")
    assert len(await entries(redis_client, "user:ada:events")) == 1


async def test_a_change_that_failed_tells_nothing(
    orchestrator: Orchestrator, redis_client: Redis
) -> None:
    async with orchestrator.client(await orchestrator.token("ada")) as ada:
        missing = {**TASK, "project_id": 4711}
        assert (await ada.post("/v1/tasks", json=missing)).status_code == 404
        assert (await ada.post("/v1/tasks?dry_run=true", json=TASK)).status_code == 201
    await Relay(orchestrator.database, Publishing(redis_client)).publish()
    assert await in_queue(redis_client) == []


async def test_two_relays(
    orchestrator: Orchestrator, new_database_url: str, redis_client: Redis
) -> None:
    made = await queued(orchestrator, 20)
    other = opened(new_database_url)
    publishing = Publishing(redis_client)
    relays = [Relay(database, publishing) for database in (orchestrator.database, other)]
    await asyncio.gather(*(relay.publish() for relay in relays * 3))
    assert await in_queue(redis_client) == made
    await other.close()


async def test_redis_is_away_for_a_while(
    orchestrator: Orchestrator, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator_api.relay.FIRST_PAUSE_SECONDS", 0.01)
    away = Redis.from_url("redis://127.0.0.1:1")
    publishing = Publishing(away)
    relay = Relay(orchestrator.database, publishing)
    running = asyncio.create_task(relay.run())
    made = await queued(orchestrator)
    relay.committed()
    await asyncio.sleep(0)
    relay._publishing = Publishing(redis_client)  # it is back
    await until(lambda: _told(redis_client, made), "the task is in its queue")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await away.aclose()


async def test_nobody_waits_for_a_redis_that_hangs(
    orchestrator: Orchestrator, redis_client: Redis
) -> None:
    """SQLite has one writer: whoever holds it over a call to Redis holds up everybody."""
    made = await queued(orchestrator)
    hanging, goes_on = asyncio.Event(), asyncio.Event()

    class Hanging(Publishing):
        async def publish_once(self, *entry: Any) -> bool:
            hanging.set()
            await goes_on.wait()
            return await super().publish_once(*entry)

    publishing = asyncio.create_task(Relay(orchestrator.database, Hanging(redis_client)).publish())
    await hanging.wait()
    # Less than SQLite would bear with a lock.
    async with asyncio.timeout(5):
        made += await queued(orchestrator)
    goes_on.set()
    await publishing
    await Relay(orchestrator.database, Publishing(redis_client)).publish()
    assert await in_queue(redis_client) == made


async def _told(redis: Redis, made: list[str]) -> bool:
    return await in_queue(redis) == made


DYING = """
import asyncio, os, signal, sys
from agentsession_core.mailbox.connect import connect
from agentsession_core.mailbox.publishing import Publishing
from agentsession_core.settings import DatabaseSettings
from orchestrator_api.database import Database, database_url
from orchestrator_api.relay import Relay

def die():
    if sys.argv[3] == "after publishing":
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    database = Database(database_url(DatabaseSettings(url=sys.argv[1]), None))
    async with connect(sys.argv[2], None) as redis:
        if sys.argv[3] == "before publishing":
            os.kill(os.getpid(), signal.SIGKILL)
        await Relay(database, Publishing(redis), after_publishing=die).publish()

asyncio.run(main())
"""


@pytest.mark.parametrize("moment", ["before publishing", "after publishing"])
async def test_killed(
    orchestrator: Orchestrator,
    new_database_url: str,
    redis_client: Redis,
    valkey: Valkey,
    moment: str,
) -> None:
    """kill -9 between the commit and the stream, and between the stream and the table."""
    made = await queued(orchestrator, 3)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DYING, new_database_url, valkey.url, moment),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=Path(__file__).parent,
    )
    assert await process.wait() == -signal.SIGKILL
    assert await in_queue(redis_client) == (made if moment == "after publishing" else [])
    relay = Relay(orchestrator.database, Publishing(redis_client))
    await relay.publish()
    assert await in_queue(redis_client) == made
    for task in made:
        assert len(await entries(redis_client, keys.task_events(task))) == 1
