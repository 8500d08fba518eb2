"""What goes into a mailbox and what is said to its people, as typed calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import structlog

from agentsession_core.api.values import Reason
from agentsession_core.mailbox.answers import (
    Admission,
    CancelAnswer,
    Cancellation,
    EditAnswer,
    IngestAnswer,
    PromptAdmission,
)
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.scripted import Scripted

log = structlog.get_logger(__name__)
INCOMING_MESSAGES: Final = 100
INCOMING_BYTES: Final = 1024 * 1024
# Answers that nobody fetches: beyond it nothing new is taken from chats, so that Redis does not fill.
OUTGOING_BYTES: Final = 8 * 1024 * 1024
SEEN_SECONDS: Final = 48 * 3600
# Ids of notices that were given: far more than a mailbox has within the time that one may come again.
NOTICES_KEPT: Final = 1000


class Messages(Scripted):
    """The transitions that begin outside of the cluster's own runs. Raises redis.RedisError."""

    async def ingest(
        self,
        mailbox: str,
        message: NewMessage,
        *,
        new_conversation: bool = False,
        most_waiting: int = INCOMING_MESSAGES,
    ) -> IngestAnswer:
        """Takes a person's message, once per source and id within 48 hours.

        `new_conversation` (`/new`) raises the mailbox's number first; without text or files nothing
        else happens. A closed mailbox is opened again: `reopened` says that the workspace of before
        is gone, and that whoever sends the message has to make a session.
        """
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "ingest",
            [k.incoming, k.state, k.seen(message.source, message.id), k.outgoing],
            [
                mailbox,
                message.source,
                message.id,
                message.chat,
                message.text,
                json.dumps([file.model_dump() for file in message.files], ensure_ascii=False),
                "1" if new_conversation else "0",
                min(most_waiting, INCOMING_MESSAGES),
                INCOMING_BYTES,
                SEEN_SECONDS,
                OUTGOING_BYTES,
            ],
        )
        self._came(mailbox, message.source, message.id, answer[0])
        return IngestAnswer(Admission(answer[0]), int(answer[1]), answer[2] == "1")

    async def knows(self, mailbox: str, *, source: Source, message: str) -> bool:
        """Whether a message came in before, within 48 hours."""
        return bool(await self._redis.exists(MailboxKeys(mailbox).seen(source, message)))

    async def edit(
        self, mailbox: str, *, source: Source, message: str, text: str, edition: str
    ) -> EditAnswer:
        """Gives a message that waits another text, once per id `edition`; it keeps its place.

        Only REPLACED and KNOWN mean that nothing is left to do: a text that comes too late is a
        message of its own.
        """
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "edit",
            [k.incoming, k.turn, k.state, k.seen(source, edition)],
            [mailbox, source, message, text, SEEN_SECONDS, INCOMING_BYTES],
        )
        return EditAnswer(answer[0])

    async def go_back(self, mailbox: str, *, wish: str) -> bool:
        """Goes back to the conversation before (`/resume`), once per id `wish`.

        False while messages wait or a turn runs, and where there is none to go back to.
        """
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "go_back",
            [k.state, k.incoming, k.turn, k.run, k.seen(Source.TELEGRAM, wish)],
            [mailbox, SEEN_SECONDS, Reason.DRAINING],
        )
        return answer[0] == "back"

    async def ingest_prompt(
        self,
        mailbox: str,
        *,
        uid: str,
        generation: int,
        sha256: str,
        text: str,
        known_sha256: str | None,
        known_generation: int = 0,
    ) -> PromptAdmission:
        """Takes `spec.prompt` as a message iff it is new (DESIGN §5.1).

        `known_sha256`: the prompt that status says was taken, at `known_generation` or before.
        """
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "ingest_prompt",
            [k.incoming, k.prompt, k.state, k.ended],
            [
                mailbox,
                uid,
                generation,
                sha256,
                text,
                known_sha256 or "",
                INCOMING_MESSAGES,
                INCOMING_BYTES,
                known_generation,
            ],
        )
        self._came(mailbox, Source.PROMPT, f"{uid}.{generation}", answer[0])
        return PromptAdmission(answer[0])

    def _came(self, mailbox: str, source: Source, message: str, admission: str) -> None:
        self._observer.message_came(source, admission)
        # A prompt is offered at every look: that it is known is no news.
        if source is not Source.PROMPT or admission != PromptAdmission.KNOWN:
            log.info(
                "message",
                mailbox=mailbox,
                message_id=message,
                source=source.value,
                admission=admission,
            )

    async def notice(
        self,
        mailbox: str,
        *,
        notice: str,
        text: str,
        source: Source,
        chat: str = "",
        reply_to: Sequence[str] = (),
    ) -> bool:
        """Says something to the mailbox's people, once per id `notice`; False if it was said before.

        `source` and `chat` are those of the messages that it is about, `reply_to` their ids. What
        is said about a prompt is said by the session's status alone: then it is only remembered.
        """
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "notice",
            [k.notices, k.outgoing, k.events],
            [mailbox, notice, source, chat, json.dumps(list(reply_to)), text, NOTICES_KEPT],
        )
        if answer[0] == "new":
            self._observer.notices_given("told", 1)
        return answer[0] == "new"

    async def request_cancel(
        self, mailbox: str, *, turn: str | None = None, by: str = ""
    ) -> Cancellation:
        """Asks for the end of `turn`, or of whichever runs; dropped when another runs.

        `by` says for people who asked: a source, never a secret.
        """
        k = MailboxKeys(mailbox)
        answer = await self._run("cancel", [k.turn, k.control], [mailbox, turn or "", by])
        return Cancellation(CancelAnswer(answer[0]), answer[1] or None)
