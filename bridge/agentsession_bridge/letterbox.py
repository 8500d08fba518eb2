"""From a person's words to a message in their mailbox, and to a session that knows of it."""

from __future__ import annotations

from collections.abc import Callable

from agentsession_bridge import texts
from agentsession_bridge.arrivals import Command, Words
from agentsession_bridge.files_of import too_large
from agentsession_bridge.keeper import SessionKeeper, Waiting
from agentsession_bridge.limits import Limits
from agentsession_bridge.live import LiveTurns
from agentsession_bridge.places import message_key
from agentsession_bridge.presence import Presence
from agentsession_bridge.replies import Replies
from agentsession_core.mailbox.answers import Admission, EditAnswer
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.store import MailboxStore


class Letterbox:
    """Takes messages. After `take` Telegram may forget them. `clock`: Unix seconds."""

    def __init__(
        self,
        store: MailboxStore,
        keeper: SessionKeeper,
        replies: Replies,
        presence: Presence,
        live: LiveTurns,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._store = store
        self._keeper = keeper
        self._replies = replies
        self._presence = presence
        self._live = live

    async def take(
        self, arrival: Words | Command, text: str, *, new_conversation: bool = False
    ) -> None:
        """Take a message.

        Raises:
            redis.RedisError: it is not taken, and has to come again.
        """
        if isinstance(arrival, Words) and arrival.edited and await self._replaced(arrival, text):
            return
        place, limits, files = arrival.place, self._limits, arrival.files
        if (text or files) and (minutes := await limits.wait_minutes(arrival.person.id)):
            # One that was taken before and comes again is no further one.
            known = await self._store.knows(
                place.mailbox, source=Source.TELEGRAM, message=arrival.key
            )
            if not known:
                self._replies.say(place, texts.too_often(minutes), arrival.message_id)
                return
        message = NewMessage(
            source=Source.TELEGRAM, id=arrival.key, chat=place.chat, text=text, files=files
        )
        answer = await self._store.ingest(
            place.mailbox,
            message,
            new_conversation=new_conversation,
            most_waiting=limits.most_waiting,
        )
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
            self._live.expect(place, arrival.message_id)
        # Also for a message that is known: this process may have died between the two steps.
        self._keeper.wake(Waiting(place, arrival.person.name, arrival.key, self._clock()))
        if answer.admission is Admission.NEW:
            await limits.count(arrival.person.id)

    async def _replaced(self, words: Words, text: str) -> bool:
        """Whether a new text has taken the place of one that waits; else it is a message like others."""
        answer = await self._store.edit(
            words.place.mailbox,
            source=Source.TELEGRAM,
            message=message_key(words.place, words.message_id),
            text=text,
            edition=words.key,
        )
        if answer is EditAnswer.BEGUN:
            self._replies.say(words.place, texts.EDITED_TOO_LATE, words.message_id)
        return answer in (EditAnswer.REPLACED, EditAnswer.KNOWN)
