"""An HTTP answer as a script: what is sent, when, and how it ends. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from agentsession_dev.model_server.answers import Answer
from agentsession_dev.model_server.errors import ApiError, default_message
from agentsession_dev.model_server.rules import Failure
from agentsession_dev.model_server.sse import error_event, events_of, message_object

OVERLOADED = 529


class Ending(StrEnum):
    """How a connection is left."""

    COMPLETE = "complete"
    CUT = "cut"
    RESET = "reset"


@dataclass(frozen=True)
class Frame:
    """Bytes to send after a pause of ``delay`` seconds; ``is_chunk`` marks pieces of content.

    A ``stamped`` one follows a comment that says when it left.
    """

    data: bytes
    delay: float = 0.0
    is_chunk: bool = False
    stamped: bool = False


@dataclass(frozen=True)
class Script:
    """A whole answer. ``delay`` seconds pass before the status line is sent."""

    status: int
    headers: Mapping[str, str]
    frames: tuple[Frame, ...]
    ending: Ending = Ending.COMPLETE
    delay: float = 0.0


def script_error(error: ApiError, request_id: str) -> Script:
    """Return the script of an error answer."""
    body = json.dumps(error.body(request_id), ensure_ascii=False).encode()
    headers = error.headers(request_id) | _json_headers(body)
    return Script(status=error.status, headers=headers, frames=(Frame(body),))


def script_json(content: object, request_id: str) -> Script:
    """Return the script of a JSON answer."""
    body = json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace")
    headers = {"request-id": request_id} | _json_headers(body)
    return Script(status=200, headers=headers, frames=(Frame(body),))


def script_answer(
    answer: Answer, *, stream: bool, message_id: str, model: str, request_id: str
) -> Script:
    """Return the script of a model's answer, streamed or in one piece."""
    pacing = answer.pacing
    if not stream:
        whole = script_json(message_object(answer, message_id, model), request_id)
        return replace(whole, delay=pacing.delay_before)
    frames = tuple(
        Frame(
            event.encode(),
            delay=pacing.delay_per_chunk if event.is_chunk else 0.0,
            is_chunk=event.is_chunk,
            stamped=pacing.stamped and event.is_chunk,
        )
        for event in events_of(answer, message_id, model)
    )
    headers = {
        "request-id": request_id,
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache",
    }
    return Script(200, headers, frames, delay=pacing.delay_before)


def apply_failure(script: Script, failure: Failure, request_id: str) -> Script:
    """Return the script with a failure in it; a failure in the middle leaves half of the answer."""
    if failure.status is not None:
        return script_error(_error_of(failure, failure.status), request_id)
    if failure.reset:
        return replace(script, frames=(), ending=Ending.RESET)
    if failure.stall_before is not None:
        return replace(script, delay=script.delay + failure.stall_before)
    if failure.error_mid and len(script.frames) == 1:
        # Without streaming there is no middle: the status line can still tell.
        return script_error(_error_of(failure, OVERLOADED), request_id)
    before, after = _halves(script.frames)
    if failure.cut_mid:
        return replace(script, frames=before, ending=Ending.CUT)
    if failure.error_mid:
        error = _error_of(failure, OVERLOADED)
        last = Frame(error_event(error.error_type, error.message).encode())
        return replace(script, frames=(*before, last))
    first, *rest = after
    stalled = replace(first, delay=first.delay + (failure.stall_mid or 0.0))
    return replace(script, frames=(*before, stalled, *rest))


def _error_of(failure: Failure, status: int) -> ApiError:
    return ApiError(
        status=status,
        message=failure.message or default_message(status),
        retry_after=failure.retry_after,
        type_override=failure.type,
    )


def _halves(frames: tuple[Frame, ...]) -> tuple[tuple[Frame, ...], tuple[Frame, ...]]:
    """Split after half of the content; an answer in one frame is split in its bytes."""
    if len(frames) == 1:
        data = frames[0].data
        middle = len(data) // 2
        return (replace(frames[0], data=data[:middle]),), (Frame(data[middle:]),)
    chunks = [index for index, frame in enumerate(frames) if frame.is_chunk]
    middle = chunks[(len(chunks) - 1) // 2] + 1 if chunks else len(frames) // 2
    return frames[:middle], frames[middle:]


def _json_headers(body: bytes) -> dict[str, str]:
    return {"content-type": "application/json", "content-length": str(len(body))}
