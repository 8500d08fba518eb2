"""Updates that wait for the bot: kept until confirmed by an offset or by the webhook's 200."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from agentsession_dev.telegram_server.errors import ApiError
from agentsession_dev.telegram_server.params import UNLISTED_UPDATES, GetUpdates

JsonObject = dict[str, Any]


class UpdateQueue:
    """One bot's updates. The newest poller wins; an older one that still waits gets 409."""

    def __init__(self, first_id: int) -> None:
        self._next_id = first_id
        self._pending: dict[int, JsonObject] = {}
        self._changed = asyncio.Event()
        self._poller: object = None
        self._allowed: frozenset[str] | None = None

    @property
    def pending(self) -> int:
        """How many updates are not confirmed."""
        return len(self._pending)

    def allow(self, kinds: Iterable[str] | None) -> None:
        """Remember which kinds the bot wants; None changes nothing, an empty list is the default."""
        if kinds is not None:
            self._allowed = frozenset(kinds) or None

    def add(self, kind: str, payload: JsonObject) -> int | None:
        """Queue an update and return its id, or None for a kind that the bot does not want."""
        wanted = kind in self._allowed if self._allowed else kind not in UNLISTED_UPDATES
        if not wanted:
            return None
        update_id = self._next_id
        self._next_id += 1
        self._pending[update_id] = {"update_id": update_id, kind: payload}
        self._wake()
        return update_id

    def restart_ids(self, next_id: int) -> None:
        """Go on with another id, as Telegram does after a week without updates."""
        self._next_id = next_id

    def clear(self) -> None:
        """Drop all that waits."""
        self._pending.clear()

    def confirm_below(self, offset: int) -> None:
        """Forget the updates below an offset."""
        for update_id in [known for known in self._pending if known < offset]:
            del self._pending[update_id]

    def oldest(self) -> JsonObject | None:
        """Return the update that a webhook gets next."""
        return next(iter(self._pending.values()), None)

    async def wait_for_any(self) -> None:
        """Return once an update waits."""
        while not self._pending:
            await self._changed.wait()

    async def poll(self, params: GetUpdates) -> list[JsonObject]:
        """Answer getUpdates.

        Raises:
            ApiError: 409 when another poller has come meanwhile.
        """
        self.allow(params.allowed_updates)
        me = self._poller = object()
        self._wake()
        self._confirm(params.offset)
        try:
            async with asyncio.timeout(params.timeout):
                while not self._pending and self._poller is me:
                    await self._changed.wait()
        except TimeoutError:
            pass
        if self._poller is not me:
            raise ApiError(
                409,
                "terminated by other getUpdates request; "
                "make sure that only one bot instance is running",
            )
        return list(self._pending.values())[: params.limit]

    def _confirm(self, offset: int) -> None:
        if offset < 0:
            for update_id in list(self._pending)[:offset]:
                del self._pending[update_id]
        else:
            self.confirm_below(offset)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
