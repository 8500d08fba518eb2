"""Delivers what stands in Redis: each mailbox in order, mailboxes beside each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from redis import RedisError
from telegram.error import BadRequest, TelegramError

from agentsession_bridge.buttons import buttons_of
from agentsession_bridge.files_out import FilesOut
from agentsession_bridge.formatting.messages import Message
from agentsession_bridge.live import LiveTurns
from agentsession_bridge.metrics import Metrics
from agentsession_bridge.outbox import Entry, Outbox
from agentsession_bridge.pace import Lanes, is_answer
from agentsession_bridge.places import Place, message_number, read_place
from agentsession_bridge.presence import Presence
from agentsession_bridge.refusals import refused
from agentsession_bridge.telegram_client import ChatGoneError, ChatMovedError, Chats
from agentsession_bridge.wording import Saying, say
from agentsession_core.mailbox.connect import BLOCK_SECONDS

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
# Telegram moves a group once. Where it names one move after the other, nobody is at the end of them.
MOST_MOVES = 3
Send = Callable[[Place], Awaitable[int]]


class Delivery:
    """The way out."""

    def __init__(
        self,
        outbox: Outbox,
        chats: Chats,
        files: FilesOut,
        lanes: Lanes,
        presence: Presence,
        live: LiveTurns,
        metrics: Metrics,
        route_of: Callable[[str], str],
    ) -> None:
        self._metrics = metrics
        self._route_of = route_of
        self._outbox = outbox
        self._files = files
        self._live = live
        self._chats = chats
        self._lanes = lanes
        self._presence = presence
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pointers: dict[str, list[str]] = {}

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            try:
                async for ready in self._outbox.ready(BLOCK_SECONDS):
                    self._pointers.setdefault(ready.mailbox, []).append(ready.pointer)
                    self._deliver_soon(ready.mailbox)
            except RedisError as error:
                log.warning("lost redis", error=type(error).__name__, retry_seconds=RETRY_SECONDS)
                await asyncio.sleep(RETRY_SECONDS)

    def _deliver_soon(self, mailbox: str) -> None:
        if mailbox not in self._tasks:
            task = asyncio.create_task(self._work(mailbox), name=f"deliver {mailbox}")
            self._tasks[mailbox] = task

    async def _work(self, mailbox: str) -> None:
        try:
            # A pointer that comes meanwhile asks for one more look: its entry may be behind ours.
            while pointers := self._pointers.pop(mailbox, None):
                await self._deliver_all(mailbox)
                await self._outbox.looked_at(pointers)
        except RedisError as error:
            # The pointers stay in Redis: they are read again after a restart, and deliver nothing.
            log.warning("pointers left", mailbox=mailbox, error=type(error).__name__)
        finally:
            del self._tasks[mailbox]

    async def _deliver_all(self, mailbox: str) -> None:
        after = "-"
        while True:
            try:
                entries = await self._outbox.entries(mailbox, after)
                if not entries:
                    return
                for entry in entries:
                    await self._deliver(mailbox, entry)
                    after = entry.entry_id
            except (RedisError, TelegramError) as error:
                # Nothing is skipped: the same entry comes again, with what is known of its messages.
                self._metrics.postponed(error)
                log.warning("not delivered yet", mailbox=mailbox, error=type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    async def _deliver(self, mailbox: str, entry: Entry) -> None:
        place = read_place(entry.chat, mailbox)
        if place is None:
            # Not for Telegram: whoever it is for reads it here.
            return
        saying = say(entry)
        arrived = True
        try:
            await self._send_all(mailbox, place, entry, saying)
        except (ChatGoneError, ChatMovedError) as error:
            log.warning("nobody to deliver to", mailbox=mailbox, reason=str(error), code=error.code)
            arrived = False
        except BadRequest as error:
            # Said again it would be refused again, and hold up everything behind it.
            log.error("telegram refuses an answer", mailbox=mailbox, **refused(error))
            arrived = await self._as_document(mailbox, place, entry, len(saying.messages))
        finally:
            self._live.go_on(mailbox)
        at = await self._outbox.done(mailbox, entry, len(saying.messages) + 1)
        await self._files.drop(mailbox, entry)
        self._metrics.delivered(entry, at, arrived=arrived)
        if arrived and entry.ends_waiting:
            self._metrics.answered(self._route_of(mailbox), entry, at)
        log.info(
            "delivered" if arrived else "not deliverable",
            mailbox=mailbox,
            kind=entry.kind,
            turn=entry.turn,
            message_ids=entry.reply_to,
        )
        numbers = [number for key in entry.reply_to if (number := message_number(key)) is not None]
        self._presence.answered(place, numbers)

    async def _send_all(self, mailbox: str, place: Place, entry: Entry, saying: Saying) -> None:
        if entry.kind == "file":
            send_file = partial(self._files.send, mailbox=mailbox, entry=entry)
            await self._once(mailbox, entry, 0, place, send_file)
            return
        for number, message in enumerate(saying.messages):
            say = partial(self._say, mailbox, entry, number, message, place)
            await self._once(mailbox, entry, number, place, say)
        if saying.document is not None:
            content = saying.document.encode()
            send = partial(self._chats.send_document, name="answer.md", content=content)
            await self._once(mailbox, entry, len(saying.messages), place, send)

    async def _as_document(self, mailbox: str, place: Place, entry: Entry, number: int) -> bool:
        """The words as a file: whatever is in them, nothing in it can be wrong for Telegram."""
        send = partial(self._chats.send_document, name="answer.md", content=entry.text.encode())
        try:
            await self._once(mailbox, entry, number, place, send)
        except (ChatGoneError, ChatMovedError) as error:
            log.error("given up", mailbox=mailbox, reason=str(error), code=error.code)
            return False
        except BadRequest as error:
            log.error("given up", mailbox=mailbox, **refused(error))
            return False
        return True

    async def _say(
        self,
        mailbox: str,
        entry: Entry,
        number: int,
        message: Message,
        home: Place,
        place: Place,
    ) -> int:
        # A group that has moved counts its messages anew: an id of before is another message's there.
        moved = place != home
        if number == 0 and entry.takes_place:
            settle = self._live.settle if entry.ends_waiting else self._live.give_way
            announced = await settle(mailbox, entry.turn)
            if announced is not None and not moved:
                said = await self._chats.edit(place, announced, message.html, message.text)
                if said:
                    return announced
        return await self._chats.send(
            place,
            message.html,
            message.text,
            reply_to=None if place.is_private or number or moved else _newest(entry),
            buttons=buttons_of(entry) if number == 0 else (),
        )

    async def _once(
        self, mailbox: str, entry: Entry, number: int, place: Place, send: Send
    ) -> None:
        part = await self._outbox.part(mailbox, entry, number)
        if part.message_id is not None:
            return
        doubtful = part.doubtful

        async def attempt(where: Place) -> int:
            nonlocal doubtful
            if doubtful:
                self._metrics.sent_again.inc()
                log.warning("sent again: nobody knows whether it arrived", mailbox=mailbox)
            doubtful = False
            try:
                return await send(where)
            except TelegramError as error:
                doubtful = not is_answer(error)
                raise

        await self._outbox.sending(mailbox, entry, number)
        message_id = await self._where_it_is(place, attempt)
        await self._outbox.sent(mailbox, entry, number, message_id)

    async def _where_it_is(self, place: Place, send: Send) -> int:
        """Send to a chat, or to where it has moved; raises what `Lanes.send` does of the last of them."""
        for _ in range(MOST_MOVES):
            try:
                return await self._lanes.send(place.chat_id, partial(send, place))
            except ChatMovedError as moved:
                place = Place(moved.chat_id, place.thread_id)
        return await self._lanes.send(place.chat_id, partial(send, place))


def _newest(entry: Entry) -> int | None:
    return message_number(entry.reply_to[-1]) if entry.reply_to else None
