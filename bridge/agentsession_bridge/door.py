"""Who is let in, and what the others are told. Deny is the default."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from agentsession_bridge import texts
from agentsession_bridge.access import AccessList
from agentsession_bridge.arrivals import Arrival, Press, Stopped
from agentsession_bridge.pairing import Codes, Stranger
from agentsession_bridge.replies import Replies

log = structlog.get_logger(__name__)


class Door:
    """`codes` is None where nobody is let in by a code."""

    def __init__(
        self,
        access: Callable[[], AccessList],
        paired: Callable[[], frozenset[int]],
        codes: Codes | None,
        replies: Replies,
    ) -> None:
        self._access = access
        self._paired = paired
        self._codes = codes
        self._replies = replies

    def is_open(self, arrival: Arrival) -> bool:
        """Whether this person may do this there."""
        return self._access().allows(arrival.person.id, arrival.place, self._paired())

    async def turn_away(self, arrival: Arrival) -> None:
        """Tell a stranger in private how to get in, at most once an hour; in groups nobody.

        Raises:
            redis.RedisError: their code is not known.
        """
        person, place = arrival.person, arrival.place
        log.info("turned away", user=person.id, chat=place.chat_id)
        if isinstance(arrival, Press):
            self._replies.answer_press(arrival.query_id, texts.NOT_YOURS)
        elif place.is_private and not isinstance(arrival, Stopped) and self._replies.may_say(place):
            stranger = Stranger(person.id, person.name)
            code = await self._codes.code_for(stranger) if self._codes is not None else None
            words = (
                texts.pairing(code, person.id) if code is not None else texts.not_allowed(person.id)
            )
            self._replies.say_seldom(place, words)
