"""What is to be delivered, as it stands in Redis.

Telegram takes no key against sending twice. So each message is written down before it is sent and
after it: a bridge that dies between the two sends that one message again, and says so.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from agentsession_bridge.placeholders import FIELD, SENDING, SENT_SECONDS
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.parse import read_fields, read_streams, read_text

PAGE: Final = 50
RESPOND: Final = "respond"


@dataclass(frozen=True)
class Entry:
    """One thing to say; `entry_id` is the stream's, `said` the turn's or the notice's own.

    `came_at`: when the oldest message came that it answers, `launch` what that found.
    """

    entry_id: str
    said: str
    kind: str
    chat: str
    turn: str
    outcome: str
    text: str
    reply_to: tuple[str, ...]
    said_at: float
    file: str = ""
    came_at: float | None = None
    launch: str = ""

    @property
    def ends_waiting(self) -> bool:
        """Whether somebody has waited for it: it takes the place of what was announced."""
        return self.kind == "answer" or bool(self.reply_to)

    @property
    def takes_place(self) -> bool:
        """Whether it is said in the message in which its turn was announced, so that words of a turn
        stand in the order in which they were said."""
        return self.ends_waiting or self.kind == RESPOND


@dataclass(frozen=True)
class Part:
    """What is known of one message of an entry: sent, perhaps sent, or neither."""

    message_id: int | None = None
    doubtful: bool = False


@dataclass(frozen=True)
class Ready:
    """A pointer: the mailbox has something new."""

    pointer: str
    mailbox: str


class Outbox:
    """Reads and clears `outgoing` of the mailboxes. Raises redis.RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def ready(self, block_seconds: float) -> AsyncIterator[Ready]:
        """Mailboxes that have something to deliver: those that are left over, then as it comes."""
        after = "0-0"
        while True:
            answer = await self._redis.xread(
                {keys.OUTGOING_READY: after}, count=1000, block=int(block_seconds * 1000)
            )
            for _, entries in read_streams(answer):
                for entry_id, fields in entries:
                    after = read_text(entry_id)
                    yield Ready(after, read_fields(fields).get("mailbox", ""))

    async def looked_at(self, pointers: Sequence[str]) -> None:
        """Everything that these pointers of `ready` stood for is delivered."""
        if pointers:
            await self._redis.xdel(keys.OUTGOING_READY, *pointers)

    async def entries(self, mailbox: str, after: str = "-") -> list[Entry]:
        """The oldest entries that come after the id `after`."""
        start = "-" if after == "-" else f"({after}"
        raw: Any = await self._redis.xrange(MailboxKeys(mailbox).outgoing, min=start, count=PAGE)
        return [_read(entry_id, fields) for entry_id, fields in raw]

    async def part(self, mailbox: str, entry: Entry, number: int) -> Part:
        """What is known of the entry's message `number`."""
        known = await self._redis.hget(MailboxKeys(mailbox).sent, f"{entry.entry_id}.{number}")
        if known is None:
            return Part()
        text = read_text(known)
        return Part(doubtful=True) if text == SENDING else Part(int(text))

    async def sending(self, mailbox: str, entry: Entry, number: int) -> None:
        """The message is about to be sent."""
        await self._note(mailbox, entry, number, SENDING)

    async def sent(self, mailbox: str, entry: Entry, number: int, message_id: int) -> None:
        """Telegram has it."""
        # In one step: the next answer would be put in the place of this one otherwise.
        announced = FIELD if entry.takes_place and number == 0 else None
        await self._note(mailbox, entry, number, str(message_id), announced)

    async def _note(
        self, mailbox: str, entry: Entry, number: int, value: str, settled: str | None = None
    ) -> None:
        key = MailboxKeys(mailbox).sent
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(key, f"{entry.entry_id}.{number}", value)
            if settled is not None:
                pipe.hdel(key, settled)
            # What belongs to an entry that was given up goes by itself.
            pipe.expire(key, SENT_SECONDS)
            await pipe.execute()

    async def done(self, mailbox: str, entry: Entry, parts: int) -> float:
        """The entry is delivered, or can never be: it goes. Answers when, by Redis' clock."""
        k = MailboxKeys(mailbox)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xdel(k.outgoing, entry.entry_id)
            if parts:
                pipe.hdel(k.sent, *(f"{entry.entry_id}.{number}" for number in range(parts)))
            pipe.time()
            seconds, microseconds = (await pipe.execute())[-1]
        return float(seconds) + float(microseconds) / 1e6


def _read(entry_id: Any, fields: Any) -> Entry:
    named = read_fields(fields)
    try:
        reply_to = tuple(str(key) for key in json.loads(named.get("reply_to") or "[]"))
    except (ValueError, TypeError):
        reply_to = ()
    return Entry(
        entry_id=read_text(entry_id),
        said=named.get("id", ""),
        kind=named.get("kind", "answer"),
        chat=named.get("chat", ""),
        turn=named.get("turn", ""),
        outcome=named.get("outcome", ""),
        text=named.get("text", ""),
        reply_to=reply_to,
        said_at=float(named.get("at") or 0),
        file=named.get("file", ""),
        came_at=float(named["came_at"]) if named.get("came_at") else None,
        launch=named.get("launch", ""),
    )
