"""The records Claude Code prints, one JSON object per line. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SUMMARY_LIMIT = 200
SYNTHETIC_MODEL: Final = "<synthetic>"

# The part of a result record that is relied on, as a JSON schema's `required` and `type`.
RESULT_REQUIRED: Final[Mapping[str, tuple[type, ...]]] = {
    "type": (str,),
    "subtype": (str,),
    "is_error": (bool,),
}
RESULT_OPTIONAL: Final[Mapping[str, tuple[type, ...]]] = {
    "result": (str, type(None)),
    "errors": (list, type(None)),
    "session_id": (str, type(None)),
    "terminal_reason": (str, type(None)),
    "api_error_status": (int, type(None)),
    "structured_output": (dict, type(None)),
}


@dataclass(frozen=True)
class TextDelta:
    """A piece of the answer while it is being written."""

    text: str


@dataclass(frozen=True)
class StreamStart:
    """The model begins a message; its pieces follow."""

    message_id: str


@dataclass(frozen=True)
class BlockStart:
    """The model begins a block of text within a message."""


@dataclass(frozen=True)
class ToolUse:
    """The agent uses a tool."""

    name: str
    summary: str


@dataclass(frozen=True)
class AssistantMessage:
    """One whole block of what the model said: text, tool uses, or neither."""

    message_id: str
    text: str
    tools: tuple[ToolUse, ...]
    is_synthetic: bool


@dataclass(frozen=True)
class Started:
    """The CLI took a message of ours into the running turn: the next result is its."""

    message_id: str


@dataclass(frozen=True)
class ResultRecord:
    """The end of a turn. `problems` says what is unfit; then nothing else in it may be used."""

    record: Mapping[str, Any]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Noise:
    """Something on stdout that is no record."""

    text: str


Record = TextDelta | StreamStart | BlockStart | AssistantMessage | Started | ResultRecord | Noise


def parse_line(line: bytes) -> Record | None:
    """Parse one line of stdout; None for records that do not matter here."""
    text = line.decode("utf-8", "replace").strip()
    if not text:
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return Noise(text)
    if not isinstance(record, dict) or not isinstance(record.get("type"), str):
        return Noise(text)
    if record["type"] == "result":
        return ResultRecord(record, result_problems(record))
    if record.get("parent_tool_use_id") is not None:
        # A subagent's words are no part of the answer.
        return None
    if record["type"] == "stream_event":
        return _parse_stream_event(_object(record.get("event")))
    if record["type"] == "assistant":
        return _parse_assistant(_object(record.get("message")))
    if record["type"] == "command_lifecycle" and record.get("state") == "started":
        return Started(_text(record.get("command_uuid")))
    return None


def result_problems(record: Mapping[str, Any]) -> tuple[str, ...]:
    """What in a result record does not have the expected type."""
    problems = [
        f"{name} is {_kind(record.get(name))}"
        for name, kinds in RESULT_REQUIRED.items()
        if not _is_of(record.get(name), kinds)
    ]
    problems += [
        f"{name} is {_kind(record[name])}"
        for name, kinds in RESULT_OPTIONAL.items()
        if name in record and not _is_of(record[name], kinds)
    ]
    return tuple(problems)


def _parse_stream_event(event: Mapping[str, Any]) -> Record | None:
    kind = event.get("type")
    if kind == "content_block_delta":
        delta = _object(event.get("delta"))
        text = _text(delta.get("text"))
        return TextDelta(text) if delta.get("type") == "text_delta" and text else None
    if kind == "content_block_start":
        block = _object(event.get("content_block"))
        return BlockStart() if block.get("type") == "text" else None
    if kind == "message_start":
        return StreamStart(_text(_object(event.get("message")).get("id")))
    return None


def _parse_assistant(message: Mapping[str, Any]) -> AssistantMessage:
    content = message.get("content")
    blocks = [_object(block) for block in content] if isinstance(content, list) else []
    texts = [_text(block.get("text")) for block in blocks if block.get("type") == "text"]
    tools = [
        ToolUse(_text(block.get("name")), summarize_tool(_object(block.get("input"))))
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    return AssistantMessage(
        message_id=_text(message.get("id")),
        text="".join(texts),
        tools=tuple(tools),
        is_synthetic=message.get("model") == SYNTHETIC_MODEL,
    )


def summarize_tool(arguments: Mapping[str, Any]) -> str:
    """One line about a tool call: what it does if the model said so, else its main argument."""
    for name in ("description", "command", "file_path", "pattern", "path", "url", "query"):
        value = arguments.get(name)
        if isinstance(value, str) and value.strip():
            return " ".join(value.split())[:SUMMARY_LIMIT]
    return ""


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_of(value: Any, kinds: tuple[type, ...]) -> bool:
    # True is an int to Python, but not to JSON.
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


def _kind(value: Any) -> str:
    return "missing" if value is None else type(value).__name__
