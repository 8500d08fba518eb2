"""The mailbox scripts as typed calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Final

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.connect import connected
from agentsession_core.mailbox.events import Events
from agentsession_core.mailbox.exports import Exports
from agentsession_core.mailbox.files import Files
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.letters import Letters
from agentsession_core.mailbox.life import Life
from agentsession_core.mailbox.messages import Messages
from agentsession_core.mailbox.model import MailboxState, SessionHint
from agentsession_core.mailbox.parse import read_fields, read_state, read_streams, read_text
from agentsession_core.mailbox.responses import Responses
from agentsession_core.mailbox.runs import Runs
from agentsession_core.mailbox.streams import newest_id
from agentsession_core.mailbox.turns import Turns

DAILY_USAGE_SECONDS: Final = 40 * 86_400


class MailboxStore(Messages, Runs, Turns, Responses, Letters, Life, Events, Exports, Files):
    """Every transition of a mailbox, each one Lua script. Raises redis.RedisError."""

    async def ping(self) -> None:
        """Raises redis.RedisError when Redis cannot be used."""
        await self._redis.ping()

    async def connected(self) -> frozenset[str]:
        """The parts of ours that are connected to Redis."""
        return await connected(self._redis)

    async def close(self, mailbox: str, *, session_uid: str) -> bool:
        """Closes the mailbox before an idle session is deleted; False while there is work."""
        k = MailboxKeys(mailbox)
        answer = await self._run("close_mailbox", [k.state, k.incoming, k.turn], [session_uid])
        return answer[0] == "closed"

    async def reopen(self, mailbox: str, *, session_uid: str) -> None:
        """Takes `close` back."""
        await self._run("reopen_mailbox", [MailboxKeys(mailbox).state], [session_uid])

    async def state(self, mailbox: str) -> MailboxState:
        """One consistent look at the mailbox."""
        k = MailboxKeys(mailbox)
        answer = await self._scripts["state"](
            keys=[
                *(k.incoming, k.state, k.run, k.turn, k.last, k.usage, k.prompt, k.export),
                k.ended,
            ],
            args=[mailbox],
        )
        return read_state(answer)

    async def epoch(self) -> str | None:
        """The mark of a Redis whose state is known; None where it was emptied."""
        known = await self._redis.get(keys.SESSIONS_EPOCH)
        return None if known is None else read_text(known)

    async def begin_epoch(self, epoch: str) -> str:
        """Marks this Redis as known; answers the epoch in force."""
        await self._redis.set(keys.SESSIONS_EPOCH, epoch, nx=True)
        return read_text(await self._redis.get(keys.SESSIONS_EPOCH))

    async def backlog(self) -> list[str]:
        """Mailboxes in which messages wait."""
        return sorted(read_text(m) for m in await self._redis.smembers(keys.SESSIONS_BACKLOG))

    async def publish_queue(self, positions: Mapping[str, int], keep_seconds: int) -> None:
        """Replaces `sessions:queue` (mailbox → place in its queue); it is gone after `keep_seconds`."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(keys.SESSIONS_QUEUE)
            if positions:
                pipe.zadd(keys.SESSIONS_QUEUE, dict(positions))
                pipe.expire(keys.SESSIONS_QUEUE, keep_seconds)
            await pipe.execute()

    async def queue_position(self, mailbox: str) -> int | None:
        """The mailbox's place in the queue for a run, from 1; None if it does not wait for one."""
        score = await self._redis.zscore(keys.SESSIONS_QUEUE, mailbox)
        return None if score is None else int(score)

    async def mailboxes(self) -> list[str]:
        """Every mailbox that a session has used."""
        return sorted(read_text(m) for m in await self._redis.smembers(keys.SESSIONS_MAILBOXES))

    async def add_usage(
        self, mailbox: str, user: str, day: str, amounts: Mapping[str, int]
    ) -> None:
        """Adds to the mailbox's sums and the user's sums of the day (`YYYY-MM-DD`)."""
        daily = keys.daily_usage(user, day)
        async with self._redis.pipeline(transaction=True) as pipe:
            for name, amount in amounts.items():
                pipe.hincrby(MailboxKeys(mailbox).usage, name, amount)
                pipe.hincrby(daily, name, amount)
            pipe.expire(daily, DAILY_USAGE_SECONDS)
            await pipe.execute()

    async def usage_of_day(self, user: str, day: str) -> dict[str, int]:
        """A user's sums of a day (`YYYY-MM-DD`); empty where nothing was used."""
        found = read_fields(await self._redis.hgetall(keys.daily_usage(user, day)))
        return {name: int(amount) for name, amount in found.items()}

    async def hints(self, block_seconds: float) -> AsyncGenerator[SessionHint, None]:
        """Follows `sessions:events` from now on, for ever. Raises redis.RedisError when cut off.

        The first hint has no mailbox: from it on nothing is missed, so the caller looks at all
        state then, and again at the first hint after each cut.
        """
        after = await newest_id(self._redis, keys.SESSIONS_EVENTS)
        yield SessionHint(after, "", "following")
        while True:
            answer = await self._redis.xread(
                {keys.SESSIONS_EVENTS: after}, count=1000, block=int(block_seconds * 1000)
            )
            for _, entries in read_streams(answer):
                for entry_id, fields in entries:
                    after = read_text(entry_id)
                    entry = read_fields(fields)
                    yield SessionHint(after, entry.get("mailbox", ""), entry.get("kind", ""))
