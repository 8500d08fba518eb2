"""What an agent says in the middle of its turn."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.scripted import Scripted

# A run that may say as much as it likes fills the store for everybody.
RESPONSES_PER_TURN: Final = 50
# As long as the same word may be sent again by whoever did not hear that it arrived.
SAID_SECONDS: Final = 24 * 3600


class RespondAnswer(StrEnum):
    """What became of it; only SAID has changed anything."""

    SAID = "said"
    KNOWN = "known"
    NO_TURN = "no_turn"
    STOPPED = "stopped"
    TOO_MANY = "too_many"
    STALE = "stale"
    LOST = "lost"


@dataclass(frozen=True)
class Responded:
    """The answer with the turn that runs and the source of its messages; None where none runs."""

    answer: RespondAnswer
    turn: str | None = None
    source: str | None = None


class Responses(Scripted):
    """Raises redis.RedisError."""

    async def respond(self, mailbox: str, *, run: str, response: str, text: str) -> Responded:
        """Says `text` where the running turn's messages came from, once per id `response` in a day.

        It is delivered before everything that is said later, the turn's answer too.
        """
        k = MailboxKeys(mailbox)
        answer, turn, source = await self._run(
            "respond",
            [k.run, k.turn, k.said, k.outgoing, k.events],
            [mailbox, run, response, text, RESPONSES_PER_TURN, SAID_SECONDS],
        )
        return Responded(RespondAnswer(answer), turn or None, source or None)
