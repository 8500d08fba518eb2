"""The API server as operator and gateway see it: through the proxy that can answer badly."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from agentsession_dev.api_proxy.app import ApiProxy
from agentsession_dev.api_proxy.faults import Fault, FaultBook
from agentsession_testing.serving import plain_server, serving

WRITES = "^(POST|PATCH|PUT|DELETE)$"
GONE = b'"code":410'


class FaultyApi:
    """Faults for a while, cut watches, and how often a watcher was told that it is too late."""

    def __init__(self, upstream: str, seed: int) -> None:
        self._proxy = ApiProxy(upstream, FaultBook(seed))
        self.url = ""
        self.gone = 0

    @property
    def counted(self) -> Counter[str]:
        """How often each status came from a fault; `410` came from the API server itself."""
        found = Counter({f"injected {name}": n for name, n in self._proxy.faults.hits.items()})
        return found + Counter({"410": self.gone})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listens within the block."""
        async with serving(plain_server(self)) as self.url:
            try:
                yield
            finally:
                self.cut_watches()
        await self._proxy.close()

    async def refuse(self, status: int, share: float, seconds: float) -> None:
        """Answers that share of all requests so."""
        retry_after = 1 if status == 429 else None
        await self._for_a_while(Fault(status=status, share=share, retry_after=retry_after), seconds)

    async def lose_answers(self, share: float, seconds: float) -> None:
        """Carries that share of all writes out and says that they failed."""
        await self._for_a_while(
            Fault(effect="lost", method=WRITES, status=504, share=share), seconds
        )

    def cut_watches(self) -> None:
        """Every watch ends in the middle."""
        self._proxy.end_watches(cut=True)

    async def _for_a_while(self, fault: Fault, seconds: float) -> None:
        self._proxy.faults.add(fault)
        await asyncio.sleep(seconds)
        self._proxy.faults.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request, as an ASGI application."""

        async def counting(message: Message) -> None:
            body: Any = message.get("body", b"")
            self.gone += GONE in body
            await send(message)

        await self._proxy(scope, receive, counting)
