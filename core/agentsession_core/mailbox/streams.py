"""What is asked of any stream."""

from __future__ import annotations

from redis.asyncio import Redis

from agentsession_core.mailbox.parse import read_text


async def newest_id(redis: Redis, stream: str) -> str:
    """Id of a stream's newest entry; everything that comes is after it. Raises redis.RedisError."""
    newest = await redis.xrevrange(stream, count=1)
    return read_text(newest[0][0]) if newest else "0-0"
