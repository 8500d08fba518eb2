"""A reverse proxy before the API server that misbehaves when it is told to.

Operator and gateway speak to the API server through it. What it passes on is passed on as it is;
what it refuses looks as a real API server's refusal does.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "host", "content-length"})
WRITES = frozenset({"POST", "PATCH", "PUT", "DELETE"})
REASONS = {429: "TooManyRequests", 500: "InternalError"}


@dataclass
class Effect:
    """`status` for requests until `until` (monotonic seconds); 0 loses the answers of writes."""

    status: int
    until: float
    share: float


@dataclass
class FaultProxy:
    """Counts what it did in `counted`. `roll` gives numbers from 0 to 1."""

    target: str
    roll: Callable[[], float]
    effects: list[Effect] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    port: int = 0
    _watches: set[asyncio.Task[None]] = field(default_factory=set)
    _held: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._held.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def inject(self, status: int, seconds: float, share: float) -> None:
        """Answers so for a while."""
        self.effects.append(Effect(status, time.monotonic() + seconds, share))

    def hold_watches(self) -> None:
        """Ends every watch; new ones wait until `release_watches`."""
        self._held.clear()
        for task in self._watches:
            task.cancel()

    def release_watches(self) -> None:
        """Lets watches begin again."""
        self._held.set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listens within the block, always on the same port."""
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        connector = aiohttp.TCPConnector(ssl=False, limit=0)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False
        ) as self._client:
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", self.port)
            await site.start()
            self.port = runner.addresses[0][1]
            try:
                yield
            finally:
                self.release_watches()
                await runner.cleanup()

    def _effect(self, method: str) -> Effect | None:
        now = time.monotonic()
        self.effects = [effect for effect in self.effects if effect.until > now]
        for effect in self.effects:
            if effect.status == 0 and method not in WRITES:
                continue
            if self.roll() < effect.share:
                return effect
        return None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        effect = self._effect(request.method)
        if effect is not None and effect.status:
            self.counted[f"{effect.status}"] += 1
            return _refusal(effect.status)
        is_watch = request.query.get("watch") in ("true", "1")
        try:
            if is_watch:
                return await self._watch(request)
            return await self._pass(request, lose=effect is not None)
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.counted["cut off"] += 1
            if request.transport is not None:
                request.transport.abort()
            raise web.HTTPBadGateway from None

    async def _pass(self, request: web.Request, *, lose: bool) -> web.StreamResponse:
        async with self._client.request(
            request.method,
            self.target + request.path_qs,
            headers=self._headers(request),
            data=await request.read() or None,
            skip_auto_headers=("content-type", "user-agent"),
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
            if answer.status == 410:
                self.counted["410"] += 1
            if lose and request.transport is not None:
                self.counted["lost answers"] += 1
                request.transport.abort()
            headers = {k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP}
            return web.Response(status=answer.status, body=body, headers=headers)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        await self._held.wait()
        response = web.StreamResponse()
        async with self._client.get(
            self.target + request.path_qs, headers=self._headers(request)
        ) as answer:
            response.set_status(answer.status)
            response.headers["content-type"] = answer.headers.get("content-type", "")
            await response.prepare(request)
            copying = asyncio.ensure_future(self._copy(answer, response))
            self._watches.add(copying)
            try:
                await asyncio.wait({copying})
            finally:
                copying.cancel()
                self._watches.discard(copying)
        if not copying.cancelled():
            copying.result()
        elif request.transport is not None:
            request.transport.abort()
        return response

    async def _copy(self, answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        async for chunk in answer.content.iter_any():
            if b'"code":410' in chunk:
                self.counted["410"] += 1
            await response.write(chunk)

    def _headers(self, request: web.Request) -> dict[str, str]:
        kept = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
        kept["accept-encoding"] = "identity"
        return kept


def _refusal(status: int) -> web.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "injected by the chaos test",
        "reason": REASONS[status],
        "code": status,
    }
    headers = {"retry-after": "1"} if status == 429 else {}
    return web.json_response(body, status=status, headers=headers)
