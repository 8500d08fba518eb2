"""Which turn the runner has, had, or should begin. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum
from typing import Any

REMEMBERED_TURNS = 64


class Action(Enum):
    """What to do with a turn that the gateway gives."""

    IGNORE = "ignore"
    BEGIN = "begin"
    REPLACE = "replace"
    REPOST = "repost"


class TurnLedger:
    """The running turn, the one that takes its place, and the results of earlier ones."""

    def __init__(self) -> None:
        self.running: str | None = None
        self.waiting: str | None = None
        self._finished: OrderedDict[str, Mapping[str, Any] | None] = OrderedDict()

    def decide(self, turn: str) -> Action:
        """What to do with this turn: the gateway sends it again at every connect."""
        if turn in (self.running, self.waiting):
            return Action.IGNORE
        if turn in self._finished:
            return Action.REPOST if self._finished[turn] is not None else Action.IGNORE
        return Action.BEGIN if self.running is None else Action.REPLACE

    def await_turn(self, turn: str) -> None:
        """This turn begins next."""
        self.waiting = turn

    def begin(self, turn: str) -> None:
        """This turn runs now."""
        self.running = turn
        self.waiting = None

    def finish(self, turn: str, result: Mapping[str, Any]) -> None:
        """The turn ended; its result is still to be delivered."""
        if self.running == turn:
            self.running = None
        self._finished[turn] = result
        while len(self._finished) > REMEMBERED_TURNS:
            self._finished.popitem(last=False)

    def settle(self, turn: str) -> None:
        """The gateway took the result, or will never take it."""
        if turn in self._finished:
            self._finished[turn] = None

    def result(self, turn: str) -> Mapping[str, Any] | None:
        """The undelivered result of a finished turn."""
        return self._finished.get(turn)
