"""A streamed answer that gives back what it holds, however it ends."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from contextlib import AbstractAsyncContextManager

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class OwnedStreamingResponse(StreamingResponse):
    """Leaves `owner` (already entered) after the last byte or the client's disconnect.

    A generator's own `finally` is not enough: it does not run if the client goes before the first
    byte, and runs under cancellation when the client goes later.
    """

    def __init__(
        self,
        content: AsyncIterable[bytes],
        owner: AbstractAsyncContextManager[object],
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        super().__init__(content, status_code, headers, media_type)
        self._owner = owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves the stream, then leaves the owner."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._owner.__aexit__(None, None, None)
