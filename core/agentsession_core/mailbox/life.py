"""How mailboxes are kept, ended, taken over and made anew, as typed calls."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import UsageRecord
from agentsession_core.mailbox.parse import read_text
from agentsession_core.mailbox.scripted import Scripted

# Far longer than a watch is late; then a session that nobody asks about is forgotten for good.
ENDED_SECONDS: Final = 24 * 3600


class EndAnswer(StrEnum):
    """What became of a deleted session's mailbox: ENDED (gone, waiting messages answered), REOPENED (a
    message came after it was closed and waits for the next session), TAKEN (it is another's)."""

    ENDED = "ended"
    REOPENED = "reopened"
    TAKEN = "taken"


class OutgoingAnswer(StrEnum):
    """What became of a deleted session's outgoing stream."""

    WAITS = "waits"
    DELIVERED = "delivered"
    DROPPED = "dropped"
    TAKEN = "taken"
    KNOWN = "known"


@dataclass(frozen=True)
class LiveRun:
    """A run that Kubernetes knows and Redis does not. `begun_at` in seconds since the epoch."""

    run: str
    begun_at: float
    pod_uid: str | None
    pod: str | None
    launch: str


@dataclass(frozen=True)
class Rebuild:
    """What the API server knows of a mailbox. `expected`: the run in Redis that `live` replaces ('' for
    none); `handled`: up to which place in `incoming` everything was answered; `lost_message`: what
    certainly or probably never was, in a word for people."""

    mailbox: str
    session_uid: str
    user: str
    agent_session_id: str | None
    last_activity: float
    handled: str | None
    live: LiveRun | None
    expected: str
    lost_message: str | None
    usage: UsageRecord


class Life(Scripted):
    """Beginnings and ends of mailboxes. Raises redis.RedisError."""

    async def keep(self, mailbox: str) -> bool:
        """Begins the idle time anew; False once the session's deletion has begun."""
        answer = await self._run("keep", [MailboxKeys(mailbox).state], [mailbox])
        return answer[0] == "kept"

    async def note_warning(self, mailbox: str, *, session_uid: str, end: int) -> None:
        """Remembers that the user was told of this end (whole seconds since the epoch)."""
        await self._run("note_warning", [MailboxKeys(mailbox).state], [mailbox, session_uid, end])

    async def end_mailbox(self, mailbox: str, *, session_uid: str, text: str) -> EndAnswer:
        """Ends the mailbox of a deleted session: whoever waits is answered with `text`."""
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "end_mailbox",
            [
                *(k.state, k.incoming, k.outgoing, k.turn, k.run, k.last, k.prompt),
                *(k.usage, k.events, k.control, k.dead, k.notices, k.ended, k.said),
            ],
            [mailbox, session_uid, text, ENDED_SECONDS],
        )
        if answer[0] == EndAnswer.ENDED:
            self._observer.notices_given("deleted", int(answer[2]))
        return EndAnswer(answer[0])

    async def undelivered(self) -> list[str]:
        """Mailboxes of deleted sessions in which something waits for its delivery."""
        found = await self._redis.zrange(keys.SESSIONS_UNDELIVERED, 0, -1)
        return [read_text(mailbox) for mailbox in found]

    async def finish_outgoing(self, mailbox: str, *, keep_seconds: float) -> OutgoingAnswer:
        """Removes a deleted session's outgoing stream once it is delivered, or after that time."""
        k = MailboxKeys(mailbox)
        answer = await self._run("finish_outgoing", [k.state, k.outgoing], [mailbox, keep_seconds])
        return OutgoingAnswer(answer[0])

    async def adopt(self, mailbox: str, *, previous_uid: str, session_uid: str, user: str) -> bool:
        """Gives the mailbox to the session that follows; False if it is not `previous_uid`'s."""
        answer = await self._run(
            "adopt", [MailboxKeys(mailbox).state], [mailbox, previous_uid, session_uid, user]
        )
        return answer[0] == "adopted"

    async def rebuild(self, known: Rebuild) -> bool:
        """Puts what is known into Redis; False if the mailbox is another session's or this one has
        ended. Idempotent."""
        k, live, usage = MailboxKeys(known.mailbox), known.live, known.usage
        answer = await self._run(
            "rebuild",
            [k.state, k.run, k.turn, k.incoming, k.usage, k.ended],
            [
                *(known.mailbox, known.session_uid, known.user, known.agent_session_id or ""),
                *(known.last_activity, known.handled or ""),
                *(live.run if live else "", known.expected, live.begun_at if live else ""),
                *((live.pod_uid or "", live.pod or "", live.launch) if live else ("", "", "")),
                known.lost_message or "",
                *(usage.turns, usage.input_tokens, usage.output_tokens),
                "" if usage.cost_nanousd is None else usage.cost_nanousd,
            ],
        )
        return answer[0] == "rebuilt"

    async def unend(self, mailbox: str) -> None:
        """The session that ended is there after all: the API server was restored to before its end."""
        await self._redis.delete(MailboxKeys(mailbox).ended)

    async def forget_lost(self, mailbox: str, *, message: str) -> None:
        """The user knows of the lost message."""
        answer = await self._run("forget_lost", [MailboxKeys(mailbox).state], [message])
        if answer[0] == "forgotten":
            self._observer.message_lost()
