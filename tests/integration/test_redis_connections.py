"""The one client of Redis, with more to ask at once than it has connections."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from agentsession_core.mailbox.connect import CONNECTIONS


async def test_more_calls_at_once_than_connections_wait_for_one(redis_client: Redis) -> None:
    counts = await asyncio.gather(*(redis_client.incr("asked") for _ in range(4 * CONNECTIONS)))
    assert sorted(counts) == list(range(1, 4 * CONNECTIONS + 1))
