"""Calls of the Bot API: what goes over the wire, and errors that keep the token to themselves."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from telegram import Bot
from telegram.error import BadRequest, NetworkError, TimedOut

from agentsession_bridge.telegram_transport import BotRequest
from agentsession_testing.serving import free_port

TOKEN = "4200:a-token-of-this-test"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def bot_at(port: int) -> AsyncIterator[Bot]:
    request = BotRequest(pool_size=2, connect_seconds=2, answer_seconds=0.3)
    await request.initialize()
    try:
        yield Bot(TOKEN, base_url=f"http://127.0.0.1:{port}/bot", request=request)
    finally:
        await request.shutdown()


@asynccontextmanager
async def bot_for(serve: Serve) -> AsyncIterator[Bot]:
    """A bot whose Telegram answers each connection so."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server, bot_at(server.sockets[0].getsockname()[1]) as bot:
        yield bot


async def test_a_call_is_a_form_and_its_answer_is_read() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        seen.extend((head.partition(b"\r\n")[0], await reader.readexactly(length)))
        body = b'{"ok":false,"error_code":400,"description":"Bad Request: no"}'
        writer.write(b"HTTP/1.1 400 x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    async with bot_for(serve) as bot:
        with pytest.raises(BadRequest, match="No"):
            await bot.send_message(71, "grüße & <b>")
    assert seen[0] == f"POST /bot{TOKEN}/sendMessage HTTP/1.1".encode()
    assert set(seen[1].split(b"&")) == {b"chat_id=71", b"text=gr%C3%BC%C3%9Fe+%26+%3Cb%3E"}


async def cut(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize(("serve", "error"), [(cut, NetworkError), (silent, TimedOut)])
async def test_what_nobody_knows_the_end_of_is_an_error_without_a_url(
    serve: Serve, error: type[NetworkError]
) -> None:
    async with bot_for(serve) as bot:
        with pytest.raises(error) as raised:
            await bot.get_me()
    assert type(raised.value) is error
    assert TOKEN not in "".join(traceback.format_exception(raised.value))


async def test_nobody_listens() -> None:
    async with bot_at(free_port()) as bot:
        with pytest.raises(NetworkError, match="ClientConnectorError") as raised:
            await bot.get_me()
    assert TOKEN not in "".join(traceback.format_exception(raised.value))


async def test_connections_are_opened_anew_and_not_used_before() -> None:
    request = BotRequest(pool_size=2, connect_seconds=2, answer_seconds=0.3)
    port = free_port()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="not open"):
            await request.do_request(f"http://127.0.0.1:{port}/bot{TOKEN}/getMe", "POST")
        await request.initialize()
        with pytest.raises(NetworkError):
            await request.do_request(f"http://127.0.0.1:{port}/bot{TOKEN}/getMe", "POST")
        await request.shutdown()
