"""The gateway over asyncio: one kept connection for requests, one for the stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote

from agentsession_runner.config import ConfigError, GatewayAddress, read_token
from agentsession_runner.gateway_link import GatewayLink
from agentsession_runner.hello import is_temporary, refusal_text
from agentsession_runner.http1 import HttpError, ResponseReader, request_bytes
from agentsession_runner.orders import Order, OrderError, parse_order
from agentsession_runner.reports import encode
from agentsession_runner.sse import SseError, SseParser

CONNECT_TIMEOUT_SECONDS = 5.0
ANSWER_TIMEOUT_SECONDS = 30.0
# The gateway sends a keep-alive comment far more often; without a byte the connection is dead.
STREAM_SILENCE_SECONDS = 60.0
READ_BYTES = 256 * 1024
UNAUTHORIZED = 401
TOO_LARGE = 413


class GatewayUnavailableError(Exception):
    """No usable answer this time; the same request may succeed later."""


class GatewayRefusedError(Exception):
    """An answer that trying again does not change."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"status {status}: {reason}")
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class GatewayClient:
    """Requests to the gateway. Each reads the token anew, so its rotation needs no care."""

    def __init__(
        self,
        gateway: GatewayAddress,
        token_file: str,
        report: Callable[[str], None],
        link: GatewayLink,
    ) -> None:
        self._gateway = gateway
        self._token_file = token_file
        self._report = report
        self._link = link
        self._kept: _Connection | None = None
        self._lock = asyncio.Lock()

    async def post_events(self, turn: str, events: list[dict[str, Any]]) -> None:
        """Send events of a turn.

        Raises:
            GatewayUnavailableError, GatewayRefusedError
        """
        await self._post(f"/v1/runner/turns/{quote(turn, safe='')}/events", {"events": events})

    async def post_result(self, turn: str, result: Mapping[str, Any]) -> None:
        """Send a turn's result.

        Raises:
            GatewayUnavailableError, GatewayRefusedError
        """
        await self._post(f"/v1/runner/turns/{quote(turn, safe='')}/result", result)

    async def begin_file(self, turn: str, number: int, name: str, size: int) -> str:
        """Announce a file of a turn; returns what its bytes have to name.

        Raises:
            GatewayUnavailableError, GatewayRefusedError
        """
        content = {"number": number, "name": name, "size": size}
        answer = await self._post(f"/v1/runner/turns/{quote(turn, safe='')}/files", content)
        return str(answer.get("upload", ""))

    async def bye(self) -> bool:
        """Say bye; returns whether a message came meanwhile and the runner stays.

        Raises:
            GatewayUnavailableError, GatewayRefusedError
        """
        answer = await self._post("/v1/runner/bye", {})
        return answer.get("reopened") is True

    async def orders(self) -> AsyncIterator[Order]:
        """Open the stream and give its orders until it ends.

        Raises:
            GatewayUnavailableError: the connection failed, broke or was silent for 60 s.
            GatewayRefusedError: the gateway does not serve this run.
        """
        try:
            async for order in self._read_orders():
                yield order
        finally:
            self._link.ended()

    async def _read_orders(self) -> AsyncIterator[Order]:
        connection = await self._connect()
        try:
            async for order in self._read_stream(connection):
                yield order
        except TimeoutError:
            raise GatewayUnavailableError(
                f"stream: no byte for {STREAM_SILENCE_SECONDS:.0f} s"
            ) from None
        except (OSError, HttpError, SseError) as error:
            raise GatewayUnavailableError(f"stream: {error}") from None
        finally:
            connection.writer.close()

    async def close(self) -> None:
        """Close the kept connection."""
        if self._kept is not None:
            self._kept.writer.close()
            self._kept = None

    async def _read_stream(self, connection: _Connection) -> AsyncIterator[Order]:
        token = self._token()
        request = request_bytes(
            self._gateway, "GET", "/v1/runner/stream", token, accept="text/event-stream"
        )
        connection.writer.write(request)
        response = ResponseReader()
        parser = SseParser()
        while not response.complete:
            async with asyncio.timeout(STREAM_SILENCE_SECONDS):
                data = await connection.reader.read(READ_BYTES)
            if data:
                response.feed(data)
            else:
                response.end_of_input()
            if response.status == 200:
                self._link.opened()
                for event in parser.feed(response.take_body()):
                    order = self._order(event.event, event.data)
                    if order is not None:
                        yield order
        if response.status is not None and response.status != 200:
            raise_for(response.status, response.take_body())

    def _order(self, event: str, data: str) -> Order | None:
        try:
            content = json.loads(data)
            if not isinstance(content, dict):
                raise OrderError("its data is no JSON object")
            return parse_order(event, content)
        except ValueError as error:
            self._report(f"ignored an unfit {event!r} event of the stream: {error}")
            return None

    async def _post(self, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        body = encode(content)
        async with self._lock:
            status, answer = await self._exchange(path, body)
        if not 200 <= status < 300:
            raise_for(status, answer)
        return _answer_of(path, answer)

    async def _exchange(self, path: str, body: bytes) -> tuple[int, bytes]:
        kept, self._kept = self._kept, None
        if kept is not None:
            try:
                return await self._exchange_on(kept, path, body)
            except GatewayUnavailableError:
                # The gateway may have closed it while it was idle; every request is idempotent.
                kept.writer.close()
        return await self._exchange_on(await self._connect(), path, body)

    async def _exchange_on(
        self, connection: _Connection, path: str, body: bytes
    ) -> tuple[int, bytes]:
        request = request_bytes(self._gateway, "POST", path, self._token(), body)
        response = ResponseReader()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                connection.writer.write(request)
                while not response.complete:
                    data = await connection.reader.read(READ_BYTES)
                    if data:
                        response.feed(data)
                    else:
                        response.end_of_input()
        except (OSError, HttpError) as error:
            connection.writer.close()
            raise GatewayUnavailableError(f"{path}: {str(error) or 'no answer in time'}") from None
        except BaseException:
            connection.writer.close()
            raise
        if response.keeps_connection:
            self._kept = connection
        else:
            connection.writer.close()
        return response.status or 0, response.take_body()

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                reader, writer = await asyncio.open_connection(
                    self._gateway.host, self._gateway.port
                )
        except OSError as error:
            reason = str(error) or "no connection in time"
            raise GatewayUnavailableError(f"{self._gateway.url}: {reason}") from None
        return _Connection(reader, writer)

    def _token(self) -> str:
        try:
            return read_token(self._token_file)
        except ConfigError as error:
            raise GatewayUnavailableError(str(error)) from None


def _answer_of(path: str, answer: bytes) -> dict[str, Any]:
    if not answer:
        return {}
    try:
        content = json.loads(answer)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        # Something between the two answered: the gateway has not taken what was posted.
        raise GatewayUnavailableError(f"{path}: the answer is no JSON object: is it the gateway's?")
    return content


def raise_for(status: int, answer: bytes) -> NoReturn:
    """Raise what an answer means that is no success.

    Raises:
        GatewayUnavailableError, GatewayRefusedError
    """
    reason = refusal_text(answer)
    # A token is refused while kubelet is replacing it: the next request reads the new one.
    if is_temporary(status) or status == UNAUTHORIZED:
        raise GatewayUnavailableError(f"status {status}: {reason}")
    raise GatewayRefusedError(status, reason)
