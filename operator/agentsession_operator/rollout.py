"""How many outdated runs are replaced at once."""

from __future__ import annotations

from typing import Final

from agentsession_operator.model import Key

# A session that does not come up again (its image is missing) must not stop the rollout for ever.
SLOT_SECONDS: Final = 120.0


class Rollout:
    """Slots for sessions on their way from one run to the next. Times are seconds of one clock.

    Lost with the process: after a restart at most `at_once` more are on their way than should be.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._on_their_way: dict[Key, float] = {}
        self._waiting: dict[Key, None] = {}

    def admits(self, key: Key, now: float) -> bool:
        """Whether the session may end its outdated run now."""
        for late in [k for k, since in self._on_their_way.items() if now - since >= SLOT_SECONDS]:
            del self._on_their_way[late]
        return key in self._on_their_way or len(self._on_their_way) < self._at_once

    def begin(self, key: Key, now: float) -> None:
        """The session's outdated run has been told to end."""
        self._waiting.pop(key, None)
        self._on_their_way.setdefault(key, now)

    def wait(self, key: Key) -> None:
        """The session is outdated and not admitted yet."""
        self._waiting.setdefault(key, None)

    def settle(self, key: Key) -> Key | None:
        """The session is not (or no more) on its way; answers who may come next, if its slot is free."""
        self._waiting.pop(key, None)
        if self._on_their_way.pop(key, None) is None:
            return None
        return next(iter(self._waiting), None)
