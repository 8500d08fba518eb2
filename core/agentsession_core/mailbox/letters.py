"""Turns that were cut off, messages that are given up or held, as typed calls."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

import structlog

from agentsession_core.api.values import TurnOutcome
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.scripted import Scripted

log = structlog.get_logger(__name__)
# Dead messages that are kept for people to look at; the oldest go first.
DEAD_KEPT: Final = 100


@dataclass(frozen=True)
class GivenUp:
    """Messages to give up, as the plan saw them: the script refuses when it is not so any more.

    `turn` with its `run` was cut off `max_deaths` or `max_evictions` times; without `turn` everything
    that came before `before` (seconds since the epoch) and stands in no one's way goes, if `run` (''
    for none) is still the newest and has (`greeted`) or has not said hello. `reason` is a word of the
    closed list, `message` says it to people who look after sessions, `text` to whoever wrote.
    """

    run: str
    reason: str
    message: str
    text: str
    turn: str | None = None
    max_deaths: int = 0
    max_evictions: int = 0
    before: float = 0.0
    greeted: bool = False


class Letters(Scripted):
    """The ends that no runner reports. Raises redis.RedisError."""

    async def cut_off(self, mailbox: str, *, run: str, own: bool) -> None:
        """Counts that the turn's run ended in its middle, once; `own`: by its own doing."""
        answer = await self._run(
            "cut_off", [MailboxKeys(mailbox).turn], [mailbox, run, "1" if own else "0"]
        )
        if answer[0] == "counted":
            self._observer.turn_cut_off(own=own)

    async def give_up(self, mailbox: str, letters: GivenUp) -> int | None:
        """Puts the messages into `dead` and tells whoever wrote; how many, None if refused."""
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "dead_letter",
            [k.incoming, k.turn, k.last, k.state, k.outgoing, k.events, k.run, k.dead],
            [
                mailbox,
                letters.run,
                "1" if letters.greeted else "0",
                letters.turn or "",
                letters.max_deaths,
                letters.max_evictions,
                letters.before,
                letters.reason,
                letters.message,
                letters.text,
                DEAD_KEPT,
            ],
        )
        if answer[0] != "dead":
            return None
        count = int(answer[1])
        self._observer.dead_lettered(letters.reason, count)
        log.warning(
            "messages given up",
            mailbox=mailbox,
            run=letters.run,
            turn=letters.turn,
            reason=letters.reason,
            message_ids=json.loads(answer[4]),
        )
        self._observer.notices_given("dead_lettered", int(answer[2]))
        if answer[3]:
            self._observer.turn_ended(answer[3], TurnOutcome.DEAD_LETTERED)
        return count

    async def tell_held(self, mailbox: str, *, text: str, with_turn: bool) -> bool:
        """Tells the chats of the waiting messages that they are kept, once until the next run.

        `with_turn`: the recorded turn waits, too, since no run is there that could have it.
        """
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "tell_held",
            [k.incoming, k.state, k.turn, k.outgoing, k.events],
            [mailbox, text, "1" if with_turn else "0"],
        )
        if answer[0] == "told":
            self._observer.notices_given("held", int(answer[1]))
        return answer[0] == "told"
