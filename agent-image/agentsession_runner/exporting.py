"""Sends the workspace to a gateway that waits for it, as fast as that takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import quote

from agentsession_runner.archive import Archive
from agentsession_runner.config import ConfigError, parse_gateway_url, read_token
from agentsession_runner.hello import refusal_text
from agentsession_runner.http1 import HttpError
from agentsession_runner.orders import ExportOrder
from agentsession_runner.transfer import (
    CONNECT_SECONDS,
    chunked_head,
    read_answer,
    write_chunks,
)
from agentsession_runner.workspace import Workspace
from agentsession_runner.workspace_trouble import WorkspaceError

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
            path = f"/v1/runner/exports/{quote(order.export, safe='')}"
            writer.write(chunked_head(gateway, "POST", path, token, "application/x-tar"))
            await write_chunks(writer, archive.pieces())
            answer = await read_answer(reader)
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
