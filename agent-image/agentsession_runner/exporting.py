"""Sends the workspace to a gateway that waits for it, as fast as that takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from urllib.parse import quote

from agentsession_runner.archive import Archive
from agentsession_runner.config import ConfigError, GatewayAddress, parse_gateway_url, read_token
from agentsession_runner.hello import refusal_text
from agentsession_runner.http1 import HttpError, ResponseReader
from agentsession_runner.orders import ExportOrder
from agentsession_runner.workspace import Workspace
from agentsession_runner.workspace_trouble import WorkspaceError

CONNECT_SECONDS = 5.0
# A client that takes nothing for so long is gone.
STALL_SECONDS = 120.0
NO_CONTENT = 204


class ExportError(Exception):
    """The workspace was not handed over; the message says why."""


class Exporter:
    """Hands over the workspace, once per order."""

    def __init__(
        self, workspace: Workspace, token_file: str, report: Callable[[str], None]
    ) -> None:
        self._workspace = workspace
        self._token_file = token_file
        self._report = report
        self._known: set[str] = set()

    async def carry_out(self, order: ExportOrder) -> None:
        """Sends the tar; whatever goes wrong is reported and known to whoever waits by its cut end."""
        if order.export in self._known:
            return
        self._known.add(order.export)
        try:
            # Before anything is read: another pod may still be writing.
            await self._workspace.lock(self._report)
            await self._send(order)
        except (
            ExportError,
            WorkspaceError,
            ConfigError,
            HttpError,
            OSError,
            TimeoutError,
        ) as error:
            self._report(f"export {order.export}: {error or type(error).__name__}")

    async def _send(self, order: ExportOrder) -> None:
        gateway = parse_gateway_url(order.address)
        token = read_token(self._token_file)
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
        archive = Archive(self._workspace.root)
        try:
            writer.write(_head(gateway, order.export, token))
            await _write(writer, archive.pieces())
            answer = await _answer(reader)
        finally:
            writer.close()
        if answer.status != NO_CONTENT:
            raise ExportError(
                f"the gateway answered {answer.status}: {refusal_text(answer.take_body())}"
            )
        self._report(
            f"export {order.export}: {archive.files} files handed over, "
            f"{len(archive.left_out)} names left out"
        )


def _head(gateway: GatewayAddress, export: str, token: str) -> bytes:
    host = f"[{gateway.host}]" if ":" in gateway.host else gateway.host
    lines = [
        f"POST {gateway.prefix}/v1/runner/exports/{quote(export, safe='')} HTTP/1.1",
        f"Host: {host}:{gateway.port}",
        f"Authorization: Bearer {token}",
        "Content-Type: application/x-tar",
        "User-Agent: agentsession-runner",
        "Transfer-Encoding: chunked",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


async def _write(writer: asyncio.StreamWriter, pieces: Iterator[bytes]) -> None:
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


async def _answer(reader: asyncio.StreamReader) -> ResponseReader:
    response = ResponseReader()
    async with asyncio.timeout(STALL_SECONDS):
        while not response.complete:
            data = await reader.read(65536)
            if data:
                response.feed(data)
            else:
                response.end_of_input()
    return response
