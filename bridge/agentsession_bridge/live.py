"""What chats see of turns before their answers: drafts in private chats, one message in groups.

One blocking read follows every running turn. All of it may be lost; only the id of a group's message is
kept in Redis, since the answer takes that message's place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog
from redis import RedisError
from redis.asyncio import Redis

from agentsession_bridge import texts
from agentsession_bridge.live_view import REFRESH_SECONDS, Live, View
from agentsession_bridge.pace import Lanes
from agentsession_bridge.placeholders import Placeholders
from agentsession_bridge.places import Place, message_number, read_place
from agentsession_bridge.telegram_client import Chats
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.connect import BLOCK_SECONDS
from agentsession_core.mailbox.contract import Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import MailboxEvent
from agentsession_core.mailbox.parse import read_event, read_fields, read_streams, read_text
from agentsession_core.mailbox.streams import newest_id

log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 1.0
# Beyond it a turn is over in any case, or nobody believes the sign any more.
LONGEST_SECONDS: Final = 3600.0
# Each read of many streams costs Redis' one thread some time for each of them.
PAUSE_SECONDS_PER_STREAM: Final = 0.0002
PAGE: Final = 200


class LiveTurns:
    """The turns that run and the messages that wait for one. `standing` says why a mailbox's messages
    wait, "" while its agent is awake."""

    def __init__(
        self,
        redis: Redis,
        chats: Chats,
        lanes: Lanes,
        standing: Callable[[str], str],
        now: Callable[[], float],
        new_id: Callable[[], int],
    ) -> None:
        self._redis = redis
        self._placeholders = Placeholders(redis)
        self._view = View(chats, self._placeholders, now)
        self._lanes = lanes
        self._standing = standing
        self._now = now
        self._new_id = new_id
        self._live: dict[str, Live] = {}
        self._held: dict[str, Live] = {}

    # -- what others tell --

    def expect(self, place: Place, message_id: int | None = None) -> None:
        """A message has come in: say why it waits, if it does."""
        if place.mailbox not in self._live and (words := self._standing(place.mailbox)):
            live = self._add(place)
            live.reply_to = message_id
            live.preview.line = words
            self._show_soon(live)

    def changed(self, mailbox: str) -> None:
        """The mailbox's session is not what it was."""
        live = self._live.get(mailbox)
        if live is None or live.turn:
            return
        words = self._standing(mailbox)
        if words and words != live.preview.line:
            live.preview.line = words
            self._show_soon(live)

    def note(self, mailbox: str, words: str) -> None:
        """Something is in the way of the mailbox's messages."""
        live = self._live.get(mailbox)
        if live is not None and not live.turn:
            live.preview.line = words
            self._show_soon(live)

    def draft_is(self, place: Place, draft_id: int) -> bool:
        """Whether a draft belongs to what is being written now, as far as this process knows."""
        live = self._live.get(place.mailbox)
        return live is None or live.draft_id == draft_id

    async def settle(self, mailbox: str, turn: str) -> int | None:
        """What was announced is about to be said: no preview any more; the message to say it in.

        To be called from within the chat's lane, so that no preview is on its way. Raises
        redis.RedisError.
        """
        live = self._live.get(mailbox)
        # The next turn may have begun already.
        if live is not None and live.turn in ("", turn):
            del self._live[mailbox]
            self._lanes.drop_preview(live.place.chat_id, mailbox)
        return await self._placeholders.message_id(mailbox)

    async def give_way(self, mailbox: str, turn: str) -> int | None:
        """Like `settle`, but the turn goes on: its preview comes again with `go_on`, below what is said."""
        live = self._live.get(mailbox)
        if live is not None and live.turn == turn:
            self._held[mailbox] = live
        return await self.settle(mailbox, turn)

    def go_on(self, mailbox: str) -> None:
        """What the preview gave way to is said."""
        live = self._held.pop(mailbox, None)
        if live is not None and mailbox not in self._live:
            live.shown = None
            self._live[mailbox] = live
            self._show_soon(live)

    # -- what Redis tells --

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._refresh())
            while True:
                try:
                    await self._follow()
                except RedisError as error:
                    log.warning("turns not followed", error=type(error).__name__)
                    await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        after = await newest_id(self._redis, keys.SESSIONS_EVENTS)
        for mailbox in await self._redis.smembers(keys.SESSIONS_BACKLOG):
            await self._begin(read_text(mailbox))
        while True:
            names = {
                MailboxKeys(mailbox).events: mailbox
                for mailbox, live in self._live.items()
                if live.turn
            }
            streams: Any = {keys.SESSIONS_EVENTS: after}
            streams |= {name: self._live[mailbox].after for name, mailbox in names.items()}
            answer = await self._redis.xread(streams, count=PAGE, block=int(BLOCK_SECONDS * 1000))
            for name, entries in read_streams(answer):
                known = names.get(read_text(name))
                if known is not None:
                    self._take(known, (read_event(*entry) for entry in entries))
                    continue
                after = read_text(entries[-1][0])
                await self._hinted([read_fields(fields) for _, fields in entries])
            await asyncio.sleep(len(names) * PAUSE_SECONDS_PER_STREAM)

    async def _hinted(self, hints: Iterable[dict[str, str]]) -> None:
        for hint in hints:
            mailbox, kind = hint.get("mailbox", ""), hint.get("kind", "")
            live = self._live.get(mailbox)
            if kind == "turn":
                await self._begin(mailbox)
            elif live is not None and kind in ("cut", "cancel"):
                live.stopping = live.stopping or kind == "cancel"
                live.preview.line = texts.STOPPING if kind == "cancel" else texts.CUT_OFF
                self._show_soon(live)

    async def _begin(self, mailbox: str) -> None:
        """Follow the turn that a mailbox has, from its beginning."""
        record = await self._redis.hmget(
            MailboxKeys(mailbox).turn, ["turn", "source", "chat", "started_at", "cancelled_at"]
        )
        turn, source, chat, started_at = (read_text(value or b"") for value in record[:4])
        place = read_place(chat, mailbox)
        if not turn or source != Source.TELEGRAM or place is None:
            return
        live = self._live.get(mailbox) or self._add(place)
        if live.turn and live.turn != turn:
            # The one before was settled by nobody yet: its answer waits for its delivery.
            live = self._add(place)
        live.turn, live.stopping = turn, record[4] is not None
        live.after = live.after if live.after != "0-0" else f"{int(float(started_at) * 1000) - 1}-0"

    def _take(self, mailbox: str, events: Iterable[MailboxEvent]) -> None:
        live = self._live.get(mailbox)
        if live is None:
            return
        news = False
        for event in events:
            live.after = event.id
            if event.turn == live.turn and event.kind == "turn":
                live.reply_to = newest_message(event) or live.reply_to
            news |= event.turn == live.turn and live.preview.add(event)
        if news and not live.stopping:
            self._show_soon(live)

    # -- what is shown --

    def _add(self, place: Place) -> Live:
        live = self._live[place.mailbox] = Live(place, self._now(), self._new_id())
        return live

    def _show_soon(self, live: Live) -> None:
        mailbox = live.place.mailbox
        self._lanes.preview(live.place.chat_id, mailbox, lambda: self._show(mailbox, live))

    async def _show(self, mailbox: str, live: Live) -> None:
        if self._live.get(mailbox) is live:
            await self._view.show(live)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS / 4)
            now = self._now()
            for mailbox, live in list(self._live.items()):
                if now - live.began_at > LONGEST_SECONDS:
                    del self._live[mailbox]
                elif live.place.is_private and now - live.shown_at >= REFRESH_SECONDS * 3 / 4:
                    self._show_soon(live)


def newest_message(event: MailboxEvent) -> int | None:
    """Telegram's id of the newest message that a turn answers."""
    messages = event.data.get("messages")
    newest = messages[-1] if isinstance(messages, list) and messages else None
    key = newest.get("id") if isinstance(newest, dict) else newest
    return message_number(key) if isinstance(key, str) else None
