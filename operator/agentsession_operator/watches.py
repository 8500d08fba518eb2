"""What kopf's requests say about its watches: when a list is over, kopf tells nobody. Pure.

What was deleted before a list is never told, neither by the list nor by the watch that follows it.
"""

from __future__ import annotations

from enum import Enum


class Begun(Enum):
    """A watch begins behind a list."""

    FIRST = "its first, and others have yet to begin"
    LAST = "its first, and now all watches stand"
    ANEW = "it had to list again"


class Watches:
    """Follows kopf's requests; `expected` is the number of its watches."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._listed: set[str] = set()
        self._watched: set[str] = set()

    def requested(self, path: str, *, watch: bool) -> Begun | None:
        """Takes one request; None unless it begins a watch behind a list."""
        if not watch:
            self._listed.add(path)
            return None
        if path not in self._listed:
            # It goes on where it was cut off.
            return None
        self._listed.discard(path)
        if path in self._watched:
            return Begun.ANEW
        self._watched.add(path)
        return Begun.LAST if len(self._watched) == self._expected else Begun.FIRST
