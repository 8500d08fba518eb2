"""Files that people sent, from the bridge: a few bytes at a time, nothing kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import structlog

from agentsession_core.problems import ProblemError, service_unavailable
from agentsession_core.streaming import file_pieces
from agentsession_core.wire import FILE_IN_LIMIT_BYTES

CONNECT_SECONDS: Final = 5.0
# The bridge itself waits up to 30 s for a place and as long for Telegram's next byte.
SILENCE_SECONDS: Final = 70.0
CONNECTIONS: Final = 100
_log = structlog.get_logger(__name__)


def bridge_client() -> httpx.AsyncClient:
    """The client for the bridge."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=10),
        follow_redirects=False,
    )


class BridgeFiles:
    """The bridge at `url`, with the gateway's own token for it, read anew for each call."""

    def __init__(self, http: httpx.AsyncClient, url: str, token_file: Path) -> None:
        self._http = http
        self._url = url
        self._token_file = token_file

    @asynccontextmanager
    async def open(self, ref: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of the file that its source calls `ref`.

        Raises ProblemError 410 or 413 when it cannot be had, 503 when it cannot be had now, FileCutError
        when it ends in the middle or is longer than 20 MB.
        """
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
        except OSError as error:
            _log.error("no_bridge_token", file=str(self._token_file), error=error.strerror)
            raise service_unavailable(
                "bridge_unavailable", "the gateway has no token for the bridge"
            ) from None
        request = self._http.build_request(
            "GET",
            f"{self._url}/v1/files/{quote(ref, safe='')}",
            headers={"authorization": f"Bearer {token}"},
        )
        try:
            response = await self._http.send(request, stream=True)
        except httpx.HTTPError as error:
            _log.warning("bridge_unavailable", error=type(error).__name__)
            raise service_unavailable(
                "bridge_unavailable", "the bridge to the chat does not answer"
            ) from None
        try:
            if response.status_code != 200:
                raise await _problem(response)
            yield file_pieces(response, FILE_IN_LIMIT_BYTES)
        finally:
            await response.aclose()


async def _problem(response: httpx.Response) -> ProblemError:
    try:
        found: Any = (await response.aread()) and response.json()
        detail = str(found["detail"])[:300]
    except (httpx.HTTPError, ValueError, TypeError, KeyError):
        detail = f"the bridge answered {response.status_code}"
    if response.status_code == 413:
        return ProblemError(413, "file_too_large", detail)
    if response.status_code == 410:
        return ProblemError(410, "file_gone", detail)
    if response.status_code == 403:
        _log.error("bridge_refuses", detail=detail)
    return service_unavailable("bridge_unavailable", detail)
