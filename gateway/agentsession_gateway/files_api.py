"""Files of a run's turn: in from the chat, out to the person. Bytes pass through; none is kept here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from agentsession_core.caller import Caller
from agentsession_core.mailbox.files import MAILBOX_FILE_BYTES, PIECE_BYTES, FileAnswer
from agentsession_core.problems import ProblemError
from agentsession_core.run_access import require_current
from agentsession_core.streaming import OwnedStreamingResponse
from agentsession_core.wire import FILES_OUT_PER_TURN, FileGrant, NewFile
from agentsession_gateway import access
from agentsession_gateway.bodies import parse_body
from agentsession_gateway.bridge_files import BridgeFiles
from agentsession_gateway.deps import Deps
from agentsession_gateway.limits import BodyBudget, RateLimiter, Slots, read_body

TRANSFERS_PER_SESSION: Final = 2
# A run that says nothing for so long in the middle of a file is gone.
SILENCE_SECONDS: Final = 60.0
# What a turn may send at most, and then as fast again in a minute: an agent that sends the same file
# anew all the time would keep Redis' disk busy.
UPLOAD_BYTES_BURST: Final = 2 * MAILBOX_FILE_BYTES
UPLOAD_BYTES_PER_SECOND: Final = UPLOAD_BYTES_BURST / 60
NEW_FILE_BODY_BYTES: Final = 4 * 1024
_log = structlog.get_logger(__name__)

_REFUSALS: Final = {
    FileAnswer.UNKNOWN_TURN: (410, "unknown_turn", "that turn is not the running one"),
    FileAnswer.NO_CHAT: (409, "no_chat", "this message came from no chat that takes files"),
    FileAnswer.FULL: (
        409,
        "mailbox_full",
        "files of 100 MB wait to be delivered to this person already",
    ),
    FileAnswer.STORE_FULL: (409, "store_full", "too many files wait to be delivered"),
    FileAnswer.GONE: (410, "upload_gone", "this upload was begun anew"),
    FileAnswer.TOO_LARGE: (413, "file_too_large", "the file is longer than was announced"),
}


class FilesApi:
    """Handlers of `/v1/runner/turns/<turn>/files`."""

    def __init__(self, deps: Deps, bodies: BodyBudget, bridge: BridgeFiles) -> None:
        self._deps = deps
        self._bodies = bodies
        self._bridge = bridge
        self._transfers = Slots(TRANSFERS_PER_SESSION)
        self._uploads = RateLimiter(UPLOAD_BYTES_PER_SECOND, UPLOAD_BYTES_BURST, deps.clock)

    async def download(self, request: Request) -> Response:
        """The bytes of a file that came with a message of the running turn."""
        caller = await self._caller(request)
        turn, file = request.path_params["turn"], request.path_params["file"]
        reference = await self._deps.store.turn_file(caller.mailbox, turn, file)
        if reference is None:
            raise ProblemError(404, "unknown_file", "no message of the running turn has that file")
        async with AsyncExitStack() as stack:
            self._take_slot(stack, caller)
            pieces = await stack.enter_async_context(self._bridge.open(reference.ref))
            _log.info("file_in", session=caller.session, turn=turn, size=reference.size)
            return OwnedStreamingResponse(
                pieces, stack.pop_all(), media_type="application/octet-stream"
            )

    async def begin(self, request: Request) -> Response:
        """Makes room for a file that the agent sends."""
        caller = await self._caller(request)
        with self._bodies.hold(caller.session_uid) as held:
            file = parse_body(NewFile, await read_body(request, NEW_FILE_BODY_BYTES, held))
        if not self._uploads.take(caller.session_uid, file.size):
            raise ProblemError(
                429, "too_many_bytes", "too many bytes of files in a minute", retry_after=10
            )
        begun = await self._deps.store.begin_file(
            caller.mailbox,
            turn=request.path_params["turn"],
            number=file.number,
            name=file.name,
            size=file.size,
        )
        _require(begun.answer)
        return JSONResponse(FileGrant(upload=begun.upload).to_wire())

    async def upload(self, request: Request) -> Response:
        """Takes the bytes, in pieces that are each written down before the next one is read."""
        caller = await self._caller(request)
        number = _number(request.path_params["number"])
        complete = False
        offset = 0
        async with AsyncExitStack() as stack:
            self._take_slot(stack, caller)
            stack.enter_context(self._bodies.hold(caller.session_uid)).grow(2 * PIECE_BYTES)
            async for piece in _pieces(request):
                taken = await self._deps.store.append_file(
                    caller.mailbox,
                    turn=request.path_params["turn"],
                    number=number,
                    upload=request.path_params["upload"],
                    offset=offset,
                    piece=piece,
                )
                _require(taken.answer)
                complete, offset = taken.complete, offset + len(piece)
        if not complete:
            raise ProblemError(400, "body_cut", "fewer bytes came than were announced")
        _log.info("file_out", session=caller.session, size=offset)
        return Response(status_code=204)

    async def _caller(self, request: Request) -> Caller:
        recognised = await access.recognise(self._deps, request)
        standing = await access.check(self._deps, recognised)
        require_current(standing.answer)
        if standing.turn != request.path_params["turn"]:
            raise ProblemError(410, "unknown_turn", "that turn is not the running one")
        return recognised.caller

    def _take_slot(self, stack: AsyncExitStack, caller: Caller) -> None:
        if not stack.enter_context(self._transfers.hold(caller.session_uid)):
            raise ProblemError(429, "too_many_transfers", "too many files at once", retry_after=1)


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces of exactly PIECE_BYTES, but for the last one. Raises ProblemError 400, 408."""
    buffer = bytearray()
    chunks = aiter(request.stream())
    while (chunk := await _next(chunks)) is not None:
        buffer += chunk
        while len(buffer) >= PIECE_BYTES:
            yield bytes(buffer[:PIECE_BYTES])
            del buffer[:PIECE_BYTES]
    if buffer:
        yield bytes(buffer)


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    try:
        async with asyncio.timeout(SILENCE_SECONDS):
            return await anext(chunks, None)
    except TimeoutError:
        raise ProblemError(408, "body_timeout", "the file did not go on in time") from None
    except ClientDisconnect:
        raise ProblemError(400, "body_cut", "the file ended early") from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < FILES_OUT_PER_TURN):
        raise ProblemError(404, "unknown_file", f"files are numbered 0 to {FILES_OUT_PER_TURN - 1}")
    return int(text)


def _require(answer: FileAnswer) -> None:
    if answer is not FileAnswer.OK:
        raise ProblemError(*_REFUSALS[answer])
