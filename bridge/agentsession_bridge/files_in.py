"""Files that people sent, from Telegram to the gateway: a few bytes at a time, nothing kept."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from urllib.parse import quote

import httpx
import structlog
from fastapi import FastAPI, Request
from starlette.responses import Response
from telegram import Bot
from telegram.error import BadRequest, InvalidToken, RetryAfter, TelegramError

from agentsession_bridge.refusals import Refusal, refusal_of
from agentsession_core.caller import bearer_token
from agentsession_core.cluster import ClusterUnavailableError
from agentsession_core.problems import ProblemError, problem_response, service_unavailable
from agentsession_core.reviewer import TokenReviewer
from agentsession_core.streaming import OwnedStreamingResponse, file_pieces
from agentsession_core.wire import FILE_IN_LIMIT_BYTES

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 5.0
# Without a byte for so long Telegram is gone.
SILENCE_SECONDS = 30.0
AT_ONCE = 8
# Behind those that are served others wait: rather soon than never, or their runs give up.
QUEUE_SECONDS = 30.0


def files_client() -> httpx.AsyncClient:
    """The client for downloads. Its URLs hold the bot's token: nothing of its errors is told."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE),
        follow_redirects=False,
    )


class FilesIn:
    """The route by which the gateway fetches what the runs ask it for."""

    def __init__(self, bot: Bot, http: httpx.AsyncClient, callers: TokenReviewer[str]) -> None:
        self._bot = bot
        self._http = http
        self._callers = callers
        self._places = asyncio.Semaphore(AT_ONCE)

    def add_to(self, app: FastAPI) -> None:
        """Add `GET /v1/files/<ref>`."""
        app.add_api_route("/v1/files/{ref}", self.get, methods=["GET"])

    async def get(self, request: Request) -> Response:
        """Answer with the file's bytes, or with why it cannot be had."""
        try:
            address = request.client.host if request.client else ""
            await self._callers.caller(bearer_token(request.headers), address)
            return await self._answer(request.path_params["ref"])
        except ClusterUnavailableError as error:
            log.warning("caller unknown", error=str(error))
            return problem_response(
                service_unavailable("caller_unknown", "the API server cannot be asked who calls")
            )
        except ProblemError as problem:
            log.info("no file", status=problem.status, reason=problem.detail)
            return problem_response(problem)

    async def _answer(self, ref: str) -> Response:
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(QUEUE_SECONDS):
                    await stack.enter_async_context(self._places)
            except TimeoutError:
                raise service_unavailable("busy", "too many files are on their way") from None
            response = await self._open(await self._address(ref), stack)
            return OwnedStreamingResponse(
                file_pieces(response, FILE_IN_LIMIT_BYTES),
                stack.pop_all(),
                media_type="application/octet-stream",
            )

    async def _address(self, ref: str) -> str:
        try:
            file = await self._bot.get_file(ref)
        except BadRequest as error:
            if refusal_of(error) is Refusal.TOO_LARGE:
                raise _too_large() from None
            raise _gone() from None
        except RetryAfter:
            raise _not_now("Telegram asks to wait") from None
        except InvalidToken:
            raise _not_now("Telegram refuses the bot's token") from None
        except TelegramError:
            raise _not_now("Telegram does not answer") from None
        if not file.file_path:
            raise _gone()
        return quote(file.file_path, safe=":/")

    async def _open(self, address: str, stack: AsyncExitStack) -> httpx.Response:
        try:
            response = await stack.enter_async_context(self._http.stream("GET", address))
        except httpx.HTTPError:
            raise _not_now("Telegram does not answer") from None
        if response.status_code != 200:
            raise _gone() if response.status_code == 404 else _not_now("Telegram does not give it")
        if int(response.headers.get("content-length", "0")) > FILE_IN_LIMIT_BYTES:
            raise _too_large()
        return response


def _too_large() -> ProblemError:
    return ProblemError(
        413, "file_too_large", "it is larger than 20 MB, and Telegram gives a bot nothing larger"
    )


def _gone() -> ProblemError:
    return ProblemError(410, "file_gone", "Telegram does not have it any more")


def _not_now(reason: str) -> ProblemError:
    return service_unavailable("telegram_unavailable", reason)
