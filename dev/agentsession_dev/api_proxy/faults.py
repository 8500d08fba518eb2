"""Which requests are answered badly: the only state an answer depends on."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

REASONS = {
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class Fault(BaseModel):
    """What happens to the requests that fit.

    `status`: answered with it (and `retry_after` seconds) without asking the API server.
    `lost`: the API server gets it and carries it out, the answer is replaced by `status`.
    `silence`: the connection stays open and no byte comes.
    `method` and `path` are searched as regular expressions; the path is without its query, and a
    watch has the method WATCH. Hits `count` requests, all without it, each with probability
    `share`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    effect: Literal["status", "lost", "silence"] = "status"
    method: str = ""
    path: str = ""
    status: int = Field(default=500, ge=400, le=599)
    retry_after: int | None = Field(default=None, ge=0)
    count: PositiveInt | None = None
    share: float = Field(default=1.0, gt=0, le=1)

    def body(self) -> dict[str, object]:
        """The answer as the API server words it."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": f"a fault on purpose: {self.status}",
            "reason": REASONS.get(self.status, ""),
            "code": self.status,
        }


class FaultBook:
    """Counts faults down; `hits` says how often each status or silence was given.

    `seed` decides which requests a `share` hits.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - not for secrets
        self._due: list[tuple[Fault, Counter[str]]] = []
        self.hits: Counter[str] = Counter()

    def add(self, fault: Fault) -> None:
        """Add a fault behind those that are there; the first that fits is given."""
        self._due.append((fault, Counter()))

    def clear(self) -> None:
        """Forget all faults."""
        self._due.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this request, counted down, or None."""
        for entry in list(self._due):
            fault, used = entry
            if not (re.search(fault.method, method) and re.search(fault.path, path)):
                continue
            if self._rng.random() >= fault.share:
                continue
            used["times"] += 1
            if fault.count is not None and used["times"] >= fault.count:
                self._due.remove(entry)
            self.hits[fault.effect if fault.effect == "silence" else str(fault.status)] += 1
            return fault
        return None
