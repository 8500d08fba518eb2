"""A group's message in which an answer is being written, as it is remembered."""

from __future__ import annotations

from typing import Final

from redis.asyncio import Redis

from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.parse import read_text

# A field beside those of the entries being delivered: the note that an answer was sent takes it away.
FIELD: Final = "placeholder"
# In the place of a message's id, as long as nobody knows it: it may have arrived.
SENDING: Final = "sending"
SENT_SECONDS: Final = 7 * 86_400


class Placeholders:
    """Raises redis.RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def message_id(self, mailbox: str) -> int | None:
        """The message, None where none is known."""
        known = await self._redis.hget(MailboxKeys(mailbox).sent, FIELD)
        text = read_text(known) if known is not None else SENDING
        return None if text == SENDING else int(text)

    async def claim(self, mailbox: str) -> bool:
        """One is about to be sent; False if one may be there already, nobody knows which."""
        key = MailboxKeys(mailbox).sent
        claimed = await self._redis.hsetnx(key, FIELD, SENDING)
        await self._redis.expire(key, SENT_SECONDS)
        return bool(claimed)

    async def sent(self, mailbox: str, message_id: int) -> None:
        """Telegram has it."""
        await self._redis.hset(MailboxKeys(mailbox).sent, FIELD, str(message_id))

    async def not_sent(self, mailbox: str) -> None:
        """Telegram has refused it."""
        await self._redis.hdel(MailboxKeys(mailbox).sent, FIELD)
