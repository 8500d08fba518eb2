"""TokenReview with the few caches and limits that keep it cheap."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar
from weakref import WeakValueDictionary

from agentsession_core.cluster import Cluster, ClusterUnavailableError
from agentsession_core.problems import ProblemError
from agentsession_core.ttl import TTLCache

# The API server itself goes on accepting a token for 10 s after its pod is gone.
REVIEW_CACHE_SECONDS: Final = 10.0
REVIEWS_AT_ONCE: Final = 20
# One pod with a thousand forged tokens waits for itself, not everybody for it.
REVIEWS_AT_ONCE_PER_ADDRESS: Final = 4
CACHED_TOKENS: Final = 20_000
C = TypeVar("C")


class TokenReviewer(Generic[C]):
    """Asks whose token it is, and keeps the answer for a moment.

    `parse` makes the caller from a review's status, or raises ProblemError 401 or 403. `on_review` is
    told of every question to the API server: accepted, refused or failed.
    """

    def __init__(
        self,
        cluster: Cluster,
        audience: str,
        parse: Callable[[Mapping[str, Any]], C],
        clock: Callable[[], float],
        on_review: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._cluster = cluster
        self._audience = audience
        self._parse = parse
        self._on_review = on_review
        self._reviews = asyncio.Semaphore(REVIEWS_AT_ONCE)
        # Weak: one is there as long as somebody holds it or waits for it.
        self._addresses: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._callers: TTLCache[bytes, C] = TTLCache(REVIEW_CACHE_SECONDS, CACHED_TOKENS, clock)

    async def caller(self, token: str, address: str) -> C:
        """The token's caller, at a network address. Raises ProblemError 401 or 403."""
        key = hashlib.sha256(token.encode()).digest()
        known = self._callers.get(key)
        if known is not None:
            return known
        async with self._of_address(address), self._reviews:
            known = self._callers.get(key)
            if known is not None:
                return known
            status = await self._ask(token)
        try:
            caller = self._parse(status)
        except ProblemError:
            self._on_review("refused")
            raise
        self._on_review("accepted")
        self._callers.put(key, caller)
        return caller

    async def _ask(self, token: str) -> Mapping[str, Any]:
        try:
            return await self._cluster.review(token, self._audience)
        except ClusterUnavailableError:
            self._on_review("failed")
            raise

    def _of_address(self, address: str) -> asyncio.Semaphore:
        known = self._addresses.get(address)
        if known is None:
            known = self._addresses[address] = asyncio.Semaphore(REVIEWS_AT_ONCE_PER_ADDRESS)
        return known
