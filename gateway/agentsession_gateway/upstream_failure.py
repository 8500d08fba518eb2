"""What a failed model call was about, in the words that reach the session's condition. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

# What a turn may wait for without a word to the person. The CLI sleeps as long as it is told to.
WAIT_LIMIT_SECONDS: Final = 30.0
DETAIL_CHARACTERS: Final = 300
CODE_CHARACTERS: Final = 64
PROMPT_TOO_LONG: Final = "prompt_too_long"
BILLING: Final = "billing_error"
# The API has no type of its own for these: they are invalid_request_error.
_BY_WORDS: Final = (
    ("prompt is too long", PROMPT_TOO_LONG),
    ("exceed context limit", PROMPT_TOO_LONG),
    ("credit balance is too low", BILLING),
)


@dataclass(frozen=True)
class Failure:
    """How a model call failed. `code` is the API's type of error; `detail` is one short line."""

    status: int
    code: str
    detail: str


def failure_of_answer(
    status: int,
    body: bytes,
    *,
    model: str,
    wait: float | None,
    now: datetime,
    secrets: Collection[str],
) -> Failure:
    """The failure that an answer of the model API speaks of; `wait` is its retry-after in seconds."""
    kind, message = _error_in(body)
    if status == 404:
        # An API in between may say no more than that something was not found.
        message = f"asked for model {model!r}: {message}"
    failure = failure_of(status, kind, message, secrets)
    if wait is None or wait <= WAIT_LIMIT_SECONDS:
        return failure
    until = (now + timedelta(seconds=wait)).astimezone(UTC)
    words = f"it takes calls again at {until:%Y-%m-%d %H:%M} UTC"
    return Failure(status, failure.code, f"{failure.detail}; {words}" if failure.detail else words)


def failure_of(status: int, kind: str, message: str, secrets: Collection[str] = ()) -> Failure:
    """The failure in the API's own words, without line breaks, secrets and surplus length."""
    for secret in secrets:
        message = message.replace(secret, "***")
    readable = "".join(c if c.isprintable() else " " for c in message)
    detail = " ".join(readable.split())[:DETAIL_CHARACTERS]
    code = next((code for words, code in _BY_WORDS if words in detail.lower()), kind)
    return Failure(status, code[:CODE_CHARACTERS], detail)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """The header's value in seconds, given as seconds or as a date; None if it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - now).total_seconds()
        except (ValueError, TypeError):
            return None
    # Nothing is later than a day; the header's writer may err, a date must not overflow.
    return min(max(seconds, 0.0), 86_400.0) if seconds == seconds else None


def secrets_of(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets in a request's headers, which no error's words may hold."""
    values = (headers.get("x-api-key", ""), headers.get("authorization", ""))
    return tuple(word for value in values if value and (word := value.removeprefix("Bearer ")))


def _error_in(body: bytes) -> tuple[str, str]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return "", ""
    kind, message = error.get("type"), error.get("message")
    return (
        kind if isinstance(kind, str) else "",
        message if isinstance(message, str) else "",
    )
