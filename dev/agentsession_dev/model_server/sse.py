"""Server-sent events of a streamed answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agentsession_dev.model_server.answers import Answer, ToolCall

_WORDS = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True)
class Event:
    """One server-sent event; ``is_chunk`` marks the pieces of the answer's content."""

    name: str
    data: dict[str, Any]
    is_chunk: bool = False

    def encode(self) -> bytes:
        """Return the event's bytes, ended by an empty line."""
        payload = json.dumps({"type": self.name, **self.data}, ensure_ascii=False)
        # JSON keeps line breaks escaped; a raw one would end the data line.
        return f"event: {self.name}\ndata: {payload}\n\n".encode(errors="backslashreplace")


def split_text(text: str, characters: int | None) -> list[str]:
    """Split a text into chunks of words, or of a number of characters; joined it is the text."""
    if characters is None:
        return _WORDS.findall(text)
    return [text[start : start + characters] for start in range(0, len(text), characters)]


def message_object(answer: Answer, message_id: str, model: str) -> dict[str, Any]:
    """Return the whole answer as the body of a request without streaming."""
    content: list[dict[str, Any]] = []
    if answer.text or answer.tool_call is None:
        content.append({"type": "text", "text": answer.text})
    if answer.tool_call is not None:
        content.append(_tool_block(answer.tool_call, dict(answer.tool_call.input)))
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": answer.stop_reason,
        "stop_sequence": None,
        "usage": dict(answer.usage),
    }


def events_of(answer: Answer, message_id: str, model: str) -> Iterator[Event]:
    """Yield the events of a streamed answer in the order of the API."""
    opening = message_object(answer, message_id, model) | {
        "content": [],
        "stop_reason": None,
        "usage": answer.usage | {"output_tokens": 1},
    }
    yield Event("message_start", {"message": opening})
    yield Event("ping", {})
    index = 0
    if answer.text or answer.tool_call is None:
        chunks = split_text(answer.text, answer.pacing.chunk_characters)
        deltas = [{"type": "text_delta", "text": chunk} for chunk in chunks]
        yield from _block_events(index, {"type": "text", "text": ""}, deltas)
        index += 1
    if answer.tool_call is not None:
        written = json.dumps(answer.tool_call.input, ensure_ascii=False)
        # The API opens the input with an empty piece before the first real one.
        pieces = ["", *split_text(written, answer.pacing.chunk_characters)]
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        yield from _block_events(index, _tool_block(answer.tool_call, {}), deltas)
    ending = {"stop_reason": answer.stop_reason, "stop_sequence": None}
    yield Event("message_delta", {"delta": ending, "usage": dict(answer.usage)})
    yield Event("message_stop", {})


def error_event(error_type: str, message: str) -> Event:
    """Return the event of an error after the answer has begun."""
    return Event("error", {"error": {"type": error_type, "message": message}})


def _tool_block(call: ToolCall, tool_input: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": tool_input}


def _block_events(
    index: int, opening: dict[str, Any], deltas: list[dict[str, str]]
) -> Iterator[Event]:
    yield Event("content_block_start", {"index": index, "content_block": opening})
    for delta in deltas:
        yield Event("content_block_delta", {"index": index, "delta": delta}, is_chunk=True)
    yield Event("content_block_stop", {"index": index})
