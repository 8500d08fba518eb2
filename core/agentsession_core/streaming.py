"""Bodies that are passed on as they come: an answer that gives back what it holds, a file with a limit."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final

import httpx
import structlog
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

log = structlog.get_logger(__name__)

FILE_PIECE_BYTES: Final = 64 * 1024


class FileCutError(ConnectionAbortedError):
    """A file did not come to its end: who passes it on must not let it look whole."""


async def file_pieces(response: httpx.Response, limit_bytes: int) -> AsyncIterator[bytes]:
    """The body in pieces of at most 64 KiB, each read when the one before was taken.

    Raises FileCutError when it ends in the middle or is longer than `limit_bytes`.
    """
    size = 0
    try:
        async for piece in response.aiter_bytes(FILE_PIECE_BYTES):
            size += len(piece)
            if size > limit_bytes:
                raise FileCutError(f"a file is longer than {limit_bytes} bytes")
            yield piece
    except httpx.HTTPError as error:
        # Not the error's own words: they may name a URL with a token in it.
        log.warning("a file was cut off", error=type(error).__name__)
        raise FileCutError("the connection ended in the middle of a file") from None


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
