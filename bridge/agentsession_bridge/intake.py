"""From an update to a message in Redis: the one thing that has to be done before Telegram forgets."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from telegram import Update

from agentsession_bridge import texts
from agentsession_bridge.access import AccessList
from agentsession_bridge.arrivals import Arrival, Command, Words, read_update
from agentsession_bridge.files_of import too_large
from agentsession_bridge.keeper import SessionKeeper, Waiting
from agentsession_bridge.places import Place
from agentsession_bridge.presence import Presence
from agentsession_bridge.replies import Replies
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.model import Admission, CancelAnswer
from agentsession_core.mailbox.store import MailboxStore

log = structlog.get_logger(__name__)


class Intake:
    """Takes updates in. After `handle` returns an update may be forgotten by Telegram."""

    def __init__(
        self,
        store: MailboxStore,
        keeper: SessionKeeper,
        replies: Replies,
        presence: Presence,
        access: Callable[[], AccessList],
        bot_id: int,
        bot_username: str,
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._replies = replies
        self._presence = presence
        self._access = access
        self._bot_id = bot_id
        self._bot_username = bot_username

    async def handle(self, update: Update) -> None:
        """Take one update in.

        Raises:
            redis.RedisError: it is not taken in, and has to come again.
        """
        arrival = read_update(update, self._bot_id, self._bot_username)
        if arrival is None:
            return
        if not self._access().allows(arrival.person.id, arrival.place):
            self._turn_away(arrival)
        elif isinstance(arrival, Words):
            await self._take(arrival, arrival.text, new_conversation=False)
        elif isinstance(arrival, Command):
            await self._obey(arrival)
        else:
            self._replies.say(arrival.place, texts.unreadable(arrival.kind), arrival.message_id)

    def _turn_away(self, arrival: Arrival) -> None:
        log.info("turned away", user=arrival.person.id, chat=arrival.place.chat_id)
        if arrival.place.is_private:
            self._replies.say_seldom(arrival.place, texts.not_allowed(arrival.person.id))

    async def _take(self, arrival: Words | Command, text: str, *, new_conversation: bool) -> None:
        place = arrival.place
        files = arrival.files
        message = NewMessage(
            source=Source.TELEGRAM, id=arrival.key, chat=place.chat, text=text, files=files
        )
        answer = await self._store.ingest(place.mailbox, message, new_conversation=new_conversation)
        if answer.admission.is_refusal:
            self._replies.say(place, texts.full(answer.admission), arrival.message_id)
            return
        if answer.reopened and answer.admission is Admission.NEW:
            self._replies.say(place, texts.WORKSPACE_GONE)
        if not text and not files:
            return
        if answer.admission is Admission.NEW:
            for file in too_large(files):
                self._replies.say(place, texts.file_too_large(file.name), arrival.message_id)
            self._presence.working(place, arrival.message_id)
        # Also for a message that is known: this process may have died between the two steps.
        self._keeper.wake(Waiting(place, arrival.person.name, arrival.key, time.time()))

    async def _obey(self, command: Command) -> None:
        match command.name:
            case "new":
                await self._take(command, command.argument, new_conversation=True)
                self._replies.say(command.place, texts.NEW_CONVERSATION)
            case "stop":
                await self._stop(command.place)
            case "start" | "help":
                self._replies.say(command.place, texts.HELP)
            case _:
                # The agent's CLI has commands of its own: it is its word.
                words = f"/{command.name} {command.argument}".strip()
                await self._take(command, words, new_conversation=False)

    async def _stop(self, place: Place) -> None:
        answer = await self._store.request_cancel(place.mailbox, by=Source.TELEGRAM)
        said = texts.STOPPING if answer.answer is CancelAnswer.CANCELLED else texts.NOTHING_RUNS
        self._replies.say(place, said)
