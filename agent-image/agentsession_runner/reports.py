"""What the runner says to the gateway, as the plain objects of the runner protocol. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["Succeeded", "Failed", "TimedOut", "Cancelled", "ModelError"]

EVENT_LIMIT_BYTES = 16 * 1024
RESULT_LIMIT_BYTES = 1024 * 1024
ERROR_CODE_LIMIT = 64
ERROR_MESSAGE_LIMIT = 4096
# Room for the other fields of a result: identifiers, error code and message.
RESULT_OVERHEAD_BYTES = 40 * 1024
CUT_MARK = "\n\n[The answer was longer than a result may be; the rest was cut off.]"


@dataclass(frozen=True)
class Problem:
    """Why a turn did not succeed: a stable code and a sentence for a person."""

    code: str
    message: str


@dataclass(frozen=True)
class TurnReport:
    """How a turn ended. `text` is what the agent itself said, even in part."""

    outcome: Outcome
    text: str
    agent_session_id: str | None = None
    problem: Problem | None = None
    # Numbers of the files that were handed over for the person.
    files: tuple[int, ...] = ()


def event_object(seq: int, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """One `TurnEvent`."""
    return {"seq": seq, "kind": kind, "data": dict(data)}


def result_object(report: TurnReport, limit_bytes: int = RESULT_LIMIT_BYTES) -> dict[str, Any]:
    """The `TurnResult`, its text cut so that the encoded object stays within the limit."""
    error = None
    if report.problem is not None:
        error = {
            "code": report.problem.code[:ERROR_CODE_LIMIT],
            "message": well_formed(report.problem.message)[:ERROR_MESSAGE_LIMIT],
        }
    return {
        "outcome": report.outcome,
        "text": fit_text(report.text, limit_bytes - RESULT_OVERHEAD_BYTES, CUT_MARK),
        "agentSessionID": report.agent_session_id,
        "error": error,
        "files": list(report.files),
    }


def encode(content: Mapping[str, Any]) -> bytes:
    """The bytes of a JSON object, UTF-8 unescaped."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def fit_text(text: str, limit_bytes: int, mark: str = "") -> str:
    """The text, cut and marked if its JSON form would exceed the limit."""
    text = well_formed(text)
    size = _encoded_size(text)
    if size <= limit_bytes:
        return text
    room = limit_bytes - _encoded_size(mark)
    while size > room:
        # Cutting in proportion overshoots at most a few times; one character always goes.
        text = text[: min(len(text) - 1, len(text) * room // size)]
        size = _encoded_size(text)
    return text + mark


def split_text(text: str, limit_bytes: int) -> list[str]:
    """The text in pieces whose JSON form stays within the limit each."""
    pieces = []
    rest = well_formed(text)
    while rest:
        piece = fit_text(rest, limit_bytes)
        pieces.append(piece)
        rest = rest[len(piece) :]
    return pieces


def well_formed(text: str) -> str:
    """The text with half surrogate pairs replaced: they cannot be encoded."""
    return text.encode("utf-8", "replace").decode()


def _encoded_size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())
