"""Which failures are still due: the only state an answer depends on."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from pydantic import Field, PositiveInt

from agentsession_dev.model_server.conversation import Kind
from agentsession_dev.model_server.rules import Failure, Regex, RuleModel


class Injection(RuleModel):
    """A failure for the next ``count`` calls of ``POST /v1/messages`` that fit.

    ``kind`` absent means main and side calls alike; ``text`` is searched in the newest user text.
    """

    fail: Failure
    count: PositiveInt = 1
    kind: Kind | None = Field(default="main")
    text: Regex | None = None


@dataclass
class _Pending:
    injection: Injection
    remaining: int


class FailureBook:
    """Counts failures down: those written in rules (``times``) and those injected."""

    def __init__(self) -> None:
        self._used: Counter[tuple[str, int]] = Counter()
        self._injected: list[_Pending] = []

    def inject(self, injection: Injection) -> None:
        """Add a failure behind those already injected."""
        self._injected.append(_Pending(injection, injection.count))

    def injected_remaining(self) -> int:
        """Return how many calls the injected failures still hit."""
        return sum(pending.remaining for pending in self._injected)

    def clear_injected(self) -> None:
        """Forget all injected failures."""
        self._injected.clear()

    def reset(self) -> None:
        """Forget everything, as when the rules are replaced."""
        self._used.clear()
        self._injected.clear()

    def take_injected(self, kind: Kind, last_user_text: str) -> Failure | None:
        """Return the injected failure for this call, counted down, or None."""
        for pending in self._injected:
            injection = pending.injection
            if injection.kind not in (None, kind):
                continue
            if injection.text is not None and not re.search(injection.text, last_user_text):
                continue
            pending.remaining -= 1
            if pending.remaining == 0:
                self._injected.remove(pending)
            return injection.fail
        return None

    def take_written(self, rule: str, step: int, failure: Failure) -> Failure | None:
        """Return the failure of a rule's step if it is still due, counted down, or None."""
        if failure.times is None:
            return failure
        if self._used[rule, step] >= failure.times:
            return None
        self._used[rule, step] += 1
        return failure
