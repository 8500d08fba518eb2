"""What people decide in their chats on what agents ask: from the bridge to the orchestrator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.parse import read_fields, read_streams, read_text

GROUP: Final = "orchestrator"
# Whoever presses buttons all day fills nothing with it.
DECISIONS_KEPT: Final = 10_000
PAGE: Final = 100


@dataclass(frozen=True)
class Decision:
    """A person's yes or no. `user` is whose chat it came from, `by` who pressed; `entry` the stream's.

    `mailbox` is the chat's where one person alone is there, else empty.
    """

    entry: str
    approval: str
    approved: bool
    user: str
    mailbox: str
    by: str


class Decisions:
    """The stream `orchestrator:decisions`. Raises redis.RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def decide(
        self, *, approval: str, approved: bool, user: str, mailbox: str, by: str
    ) -> None:
        """Passes a decision on; it counts once, however often it is passed on."""
        fields: Any = {
            "approval": approval,
            "decision": "approve" if approved else "deny",
            "user": user,
            "mailbox": mailbox,
            "by": by,
        }
        await self._redis.xadd(keys.DECISIONS, fields, maxlen=DECISIONS_KEPT, approximate=True)

    async def waiting(self, block_seconds: float) -> list[Decision]:
        """The decisions that nobody has carried out; waits for the first. One may come again."""
        await self._begin()
        # First what a process took that died: all replicas are one consumer.
        return await self._read("0", None) or await self._read(">", int(block_seconds * 1000))

    async def done(self, decision: Decision) -> None:
        """The decision is carried out, or never can be."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xack(keys.DECISIONS, GROUP, decision.entry)
            pipe.xdel(keys.DECISIONS, decision.entry)
            await pipe.execute()

    async def _begin(self) -> None:
        try:
            await self._redis.xgroup_create(keys.DECISIONS, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _read(self, after: str, block: int | None) -> list[Decision]:
        answer = await self._redis.xreadgroup(
            GROUP, GROUP, {keys.DECISIONS: after}, count=PAGE, block=block
        )
        return [
            _decision(read_text(entry_id), fields or {})
            for _, entries in read_streams(answer)
            for entry_id, fields in entries
        ]


def _decision(entry: str, fields: dict[Any, Any]) -> Decision:
    named = read_fields(fields)
    return Decision(
        entry,
        named.get("approval", ""),
        named.get("decision") == "approve",
        named.get("user", ""),
        named.get("mailbox", ""),
        named.get("by", ""),
    )
