"""What Redis remembers of a session's way, by Redis' own clock."""

from __future__ import annotations

import time
from typing import Any

from redis import Redis

from agentsession_core.mailbox.keys import SESSIONS_ACTIVITY, SESSIONS_EVENTS, MailboxKeys

MILLISECONDS = 1000


class Mailboxes:
    """Reads only."""

    def __init__(self, redis: Redis) -> None:
        # Any: the client's annotations do not tell its blocking answers from awaitable ones.
        self._redis: Any = redis

    def newest_event(self) -> str:
        """Id of the newest entry of `sessions:events`."""
        newest = self._redis.xrevrange(SESSIONS_EVENTS, count=1)
        return str(newest[0][0]) if newest else "0-0"

    def events(self, mailbox: str, after: str) -> dict[str, float]:
        """When each kind of event first happened to the mailbox after an entry, exact to 1 ms."""
        found: dict[str, float] = {}
        for entry, fields in self._redis.xrange(SESSIONS_EVENTS, min=f"({after}"):
            if fields.get("mailbox") == mailbox:
                at = int(str(entry).partition("-")[0]) / MILLISECONDS
                found.setdefault(str(fields.get("kind")), at)
        return found

    def run(self, mailbox: str) -> dict[str, str]:
        """The mailbox's run: `begun_at` and `hello_at` are Unix seconds to the microsecond."""
        record: dict[str, str] = self._redis.hgetall(MailboxKeys(mailbox).run)
        return record

    def last_activity(self, mailbox: str) -> float:
        """When a message came or a turn ended last; Unix seconds. Raises ValueError if never."""
        score = self._redis.zscore(SESSIONS_ACTIVITY, mailbox)
        if score is None:
            raise ValueError(f"mailbox {mailbox} has not been used")
        return float(score)

    def version(self) -> str:
        """Name and version of the server."""
        server = self._redis.info("server")
        if "valkey_version" in server:
            return f"Valkey {server['valkey_version']}"
        return f"Redis {server['redis_version']}"

    def clock_difference(self) -> float:
        """Seconds by which Redis' clock is ahead of this machine's, to half a round trip."""
        before = time.time()
        seconds, microseconds = self._redis.time()
        after = time.time()
        return float(seconds) + float(microseconds) / 1e6 - (before + after) / 2
