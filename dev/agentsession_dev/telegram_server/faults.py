"""Failures on order, and Telegram's own pace."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt

from agentsession_dev.telegram_server.errors import ApiError, flood


class Fault(BaseModel):
    """What happens to the next `count` calls that fit; absent `method` or `chat_id` fit all.

    error: refused with `code` and `reason`, nothing is done. lost: done, and the connection closes
    without an answer. reset: not done, connection reset. delay: answered `seconds` later.
    flood: from the first call that fits, every call to that chat is 429 for `seconds`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["error", "lost", "reset", "delay", "flood"]
    method: str | None = None
    chat_id: int | None = None
    count: PositiveInt = 1
    code: int = Field(default=500, ge=400, le=599)
    reason: str = ""
    retry_after: int | None = None
    seconds: NonNegativeFloat = 0

    def fits(self, method: str, chat_id: int | None) -> bool:
        """Whether a call is meant."""
        return self.method in (None, method) and self.chat_id in (None, chat_id)


@dataclass
class _Due:
    fault: Fault
    remaining: int


class FaultBook:
    """Counts faults down and remembers which chats are being punished."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._due: list[_Due] = []
        self._punished: dict[int | None, float] = {}

    def inject(self, fault: Fault) -> None:
        """Add a fault behind those already there."""
        self._due.append(_Due(fault, fault.count))

    def clear(self) -> None:
        """Forget all faults and punishments."""
        self._due.clear()
        self._punished.clear()

    @property
    def remaining(self) -> int:
        """How many calls the faults still hit."""
        return sum(due.remaining for due in self._due)

    def take(self, method: str, chat_id: int | None) -> Fault | None:
        """Return the fault of this call, counted down, or None.

        Raises:
            ApiError: 429 while the chat is being punished, 4xx or 5xx for an error on order.
        """
        fault = self._next(method, chat_id)
        if fault is not None and fault.kind == "flood":
            self._punished[chat_id] = self._now() + fault.seconds
            fault = None
        left = self._punished.get(chat_id, 0.0) - self._now()
        if left > 0:
            raise flood(math.ceil(left))
        if fault is not None and fault.kind == "error":
            raise ApiError(fault.code, fault.reason, retry_after=fault.retry_after)
        return fault

    def _next(self, method: str, chat_id: int | None) -> Fault | None:
        for due in self._due:
            if due.fault.fits(method, chat_id):
                due.remaining -= 1
                if due.remaining == 0:
                    self._due.remove(due)
                return due.fault
        return None


@dataclass
class _Bucket:
    tokens: float
    filled_at: float


@dataclass(frozen=True)
class Pace:
    """How often a chat may be written to: `burst` calls at once, then one every `seconds`."""

    burst: int
    seconds: float


# Telegram publishes "one a second, 20 a minute in a group" and bursts; the rest is a guess.
PRIVATE_PACE = Pace(burst=5, seconds=1.0)
GROUP_PACE = Pace(burst=20, seconds=3.0)


class FloodLimits:
    """A token bucket for each chat. A chat over its pace gets 429 until the next token."""

    def __init__(self, now: Callable[[], float], *, enabled: bool) -> None:
        self._now = now
        self._buckets: dict[int, _Bucket] = {}
        self.enabled = enabled

    def count(self, chat_id: int) -> None:
        """Count a send or an edit.

        Raises:
            ApiError: 429 with the whole seconds to wait.
        """
        if not self.enabled:
            return
        pace = PRIVATE_PACE if chat_id > 0 else GROUP_PACE
        now = self._now()
        bucket = self._buckets.setdefault(chat_id, _Bucket(pace.burst, now))
        gained = (now - bucket.filled_at) / pace.seconds
        bucket.tokens, bucket.filled_at = min(pace.burst, bucket.tokens + gained), now
        if bucket.tokens < 1:
            raise flood(math.ceil((1 - bucket.tokens) * pace.seconds))
        bucket.tokens -= 1
