"""Bytes of any length to and from the gateway, piece by piece, on a connection of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from agentsession_runner.config import ConfigError, GatewayAddress, read_token
from agentsession_runner.gateway_client import GatewayUnavailableError, raise_for
from agentsession_runner.http1 import HttpError, ResponseReader, request_bytes, request_head

CONNECT_SECONDS = 5.0
# A gateway that takes or gives nothing for so long is gone.
STALL_SECONDS = 120.0
READ_BYTES = 256 * 1024
LONGEST_PAUSE_SECONDS = 8.0


def growing() -> Iterator[float]:
    """Pauses between tries, in seconds: 1, 2, 4, 8, 8, ..."""
    seconds = 1.0
    while True:
        yield seconds
        seconds = min(seconds * 2, LONGEST_PAUSE_SECONDS)


class Transfer:
    """Whole bodies, in and out. Raises GatewayUnavailableError, GatewayRefusedError."""

    def __init__(self, gateway: GatewayAddress, token_file: str) -> None:
        self._gateway = gateway
        self._token_file = token_file

    async def fetch(self, path: str, take: Callable[[bytes], None]) -> None:
        """Hand the body of a GET to `take`, which may raise to end it."""
        async with self._connection() as (reader, writer):
            writer.write(request_bytes(self._gateway, "GET", path, self._token()))
            response = ResponseReader()
            while not response.complete:
                await _feed(reader, response)
                if response.status == 200:
                    piece = response.take_body()
                    if piece:
                        # Off the loop: a disk may be slow, and the stream of orders must be heard.
                        await asyncio.to_thread(take, piece)
            if response.status != 200:
                raise_for(response.status or 0, response.take_body())

    async def send(self, path: str, pieces: Iterator[bytes]) -> None:
        """Send a body by PUT."""
        async with self._connection() as (reader, writer):
            writer.write(chunked_head(self._gateway, "PUT", path, self._token()))
            try:
                await write_chunks(writer, pieces)
            except OSError:
                # A gateway that refuses does not read on: what it says stands before its end.
                if writer.transport.is_closing() and reader.at_eof():
                    raise
            response = await read_answer(reader)
        status = response.status or 0
        if not 200 <= status < 300:
            raise_for(status, response.take_body())

    @asynccontextmanager
    async def _connection(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        writer = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(
                    self._gateway.host, self._gateway.port
                )
            yield reader, writer
        except (OSError, HttpError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise GatewayUnavailableError(f"{self._gateway.url}: {reason}") from None
        finally:
            if writer is not None:
                writer.close()

    def _token(self) -> str:
        try:
            return read_token(self._token_file)
        except ConfigError as error:
            raise GatewayUnavailableError(str(error)) from None


def chunked_head(
    gateway: GatewayAddress,
    method: str,
    path: str,
    token: str,
    content_type: str = "application/octet-stream",
) -> bytes:
    """The head of a request whose body follows in chunks."""
    return request_head(
        gateway,
        method,
        path,
        token,
        f"Content-Type: {content_type}",
        "Transfer-Encoding: chunked",
        "Connection: close",
    )


async def write_chunks(writer: asyncio.StreamWriter, pieces: Iterator[bytes]) -> None:
    """The body, as fast as the gateway takes it."""
    while True:
        # Off the loop: a disk may be slow, and a turn may be running.
        piece = await asyncio.to_thread(next, pieces, None)
        if piece is None:
            break
        if piece:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            async with asyncio.timeout(STALL_SECONDS):
                await writer.drain()
    writer.write(b"0\r\n\r\n")
    async with asyncio.timeout(STALL_SECONDS):
        await writer.drain()


async def read_answer(reader: asyncio.StreamReader) -> ResponseReader:
    """The whole answer."""
    response = ResponseReader()
    while not response.complete:
        await _feed(reader, response)
    return response


async def _feed(reader: asyncio.StreamReader, response: ResponseReader) -> None:
    async with asyncio.timeout(STALL_SECONDS):
        data = await reader.read(READ_BYTES)
    if data:
        response.feed(data)
    else:
        response.end_of_input()
