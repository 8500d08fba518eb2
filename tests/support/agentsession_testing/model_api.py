"""A model API for the gateway's tests: answers what the test says, remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 100,
    "cache_read_input_tokens": 1000,
    "output_tokens": 1,
}
Answer = Callable[[Request], Awaitable[Response]]


def event(data: dict[str, Any]) -> bytes:
    """A server-sent event as the API sends it."""
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


START = event({"type": "message_start", "message": {"id": "m", "usage": USAGE}})
DELTA = event(
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
)
END = event(
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}
)
STOP = event({"type": "message_stop"})


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ModelApi:
    """An ASGI application. `hold` keeps a stream open after its first chunk until it is set."""

    seen: list[Seen] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    last: asyncio.Event = field(default_factory=asyncio.Event)
    disconnects: int = 0
    answer: Answer | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        body = await request.body()
        self.seen.append(
            Seen(
                request.method,
                scope["path"],
                scope["query_string"].decode(),
                dict(request.headers),
                body,
            )
        )
        response = await (self.answer or self.message)(request)
        await response(scope, receive, send)

    async def message(self, request: Request) -> Response:
        """A finished answer, as one object."""
        return JSONResponse({"type": "message", "usage": {**USAGE, "output_tokens": 7}})

    async def stream(self, request: Request) -> Response:
        """A streamed answer in two parts."""
        return StreamingResponse(self._parts(), media_type="text/event-stream")

    async def _parts(self) -> AsyncIterator[bytes]:
        try:
            yield START + DELTA
            await self.hold.wait()
            yield END + STOP
            await self.last.wait()
        except (asyncio.CancelledError, GeneratorExit):
            self.disconnects += 1
            raise

    def status(self, status: int, **headers: str) -> Answer:
        """An answer that is an error."""

        async def answer(_request: Request) -> Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            body = {"type": "error", "error": {"type": "api_error", "message": f"fake {status}"}}
            return JSONResponse(body, status, named)

        return answer
