"""Calls of the Bot API over aiohttp: a third of httpx' work.

That work decides how soon people see that their messages have come when many write at once. Files go
up by the library's own client.
"""

from __future__ import annotations

from typing import Any, Final

import aiohttp
from telegram.error import NetworkError, TimedOut
from telegram.request import HTTPXRequest, RequestData

# Telegram keeps a connection for longer. A new one costs two of its answers' time.
KEPT_SECONDS: Final = 30.0


class BotRequest(HTTPXRequest):
    """Connections to the Bot API. Errors never name a URL: the bot's token is in it."""

    def __init__(self, *, pool_size: int, connect_seconds: float, answer_seconds: float) -> None:
        super().__init__(
            connection_pool_size=pool_size,
            connect_timeout=connect_seconds,
            read_timeout=answer_seconds,
            pool_timeout=answer_seconds,
        )
        self._pool_size = pool_size
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._session: aiohttp.ClientSession | None = None

    async def initialize(self) -> None:
        """Open the client; its connections come with the calls."""
        await super().initialize()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._pool_size, keepalive_timeout=KEPT_SECONDS
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self.USER_AGENT},
                trust_env=True,
            )

    async def shutdown(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await super().shutdown()

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        *args: Any,
        **timeouts: Any,
    ) -> tuple[int, bytes]:
        """Make a call; return its HTTP status and body.

        Raises:
            telegram.error.TimedOut, telegram.error.NetworkError: nobody knows whether it was done.
        """
        if request_data is not None and request_data.contains_files:
            return await super().do_request(url, method, request_data, *args, **timeouts)
        if self._session is None:
            raise RuntimeError("the connections to Telegram are not open")
        try:
            async with self._session.request(
                method,
                url,
                data=request_data.json_parameters if request_data else None,
                timeout=self._timeout(timeouts.get("read_timeout")),
                allow_redirects=False,
            ) as response:
                return response.status, await response.read()
        except TimeoutError:
            raise TimedOut from None
        except aiohttp.ClientError as error:
            raise NetworkError(type(error).__name__) from None

    def _timeout(self, asked: object) -> aiohttp.ClientTimeout:
        """A poll asks for a longer one; the library has a mark for calls that ask for none."""
        answer_seconds = asked if isinstance(asked, int | float) else self._answer_seconds
        return aiohttp.ClientTimeout(
            total=None,
            # With the wait for a free one.
            connect=self._answer_seconds + self._connect_seconds,
            sock_connect=self._connect_seconds,
            sock_read=answer_seconds,
        )
