"""Tokens and cost, counted from the model API's answers. Pure but for the bytes it is fed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from agentsession_core.settings import ModelPrice

LINE_LIMIT: Final = 1024 * 1024
_ERROR_STATUS: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


@dataclass(frozen=True)
class StreamError:
    """An `error` event in a stream."""

    status: int
    kind: str
    message: str


@dataclass(frozen=True)
class Tokens:
    """Tokens of one call. `input` are those neither read from nor written to the cache."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    def __bool__(self) -> bool:
        """Whether there is anything to count."""
        return any((self.input, self.output, self.cache_read, self.cache_write))

    def updated(self, usage: object) -> Tokens:
        """These with the newer figures of a `usage` object, whose figures are running totals."""
        if not isinstance(usage, dict):
            return self
        return replace(
            self,
            input=_count(usage.get("input_tokens"), self.input),
            output=_count(usage.get("output_tokens"), self.output),
            cache_read=_count(usage.get("cache_read_input_tokens"), self.cache_read),
            cache_write=_count(usage.get("cache_creation_input_tokens"), self.cache_write),
        )


def _count(value: object, otherwise: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return otherwise


def amounts(model: str, tokens: Tokens, prices: Mapping[str, ModelPrice]) -> dict[str, int]:
    """What to add to the sums: tokens, and cost in billionths of a US dollar.

    A model without a price adds to `unpriced` instead: its cost is unknown, not nothing.
    """
    sums = {
        "input_tokens": tokens.input + tokens.cache_read + tokens.cache_write,
        "output_tokens": tokens.output,
    }
    price = prices.get(model)
    if price is None:
        return {**sums, "unpriced": 1}
    # One US dollar per million tokens is a thousand billionths of a dollar per token.
    nanousd = 1000 * (
        tokens.input * Decimal(price.input)
        + tokens.output * Decimal(price.output)
        + tokens.cache_read * Decimal(price.cache_read)
        + tokens.cache_write * Decimal(price.cache_write)
    )
    return {**sums, "cost_nanousd": int(nanousd.to_integral_value(ROUND_HALF_UP))}


def tokens_of_answer(body: bytes) -> Tokens:
    """Tokens of an answer that is one JSON object."""
    try:
        answer = json.loads(body)
    except ValueError:
        return Tokens()
    return Tokens().updated(answer.get("usage") if isinstance(answer, dict) else None)


class StreamMeter:
    """Counts while a stream of server-sent events passes; never holds more than one line."""

    def __init__(self) -> None:
        self.tokens = Tokens()
        self.finished = False
        self.error: StreamError | None = None
        self._rest = b""
        self._skipping = False

    def feed(self, chunk: bytes) -> None:
        """Reads the next bytes of the stream."""
        *lines, rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if self._skipping:
                self._skipping = False
                continue
            self._line(line)
        if len(rest) > LINE_LIMIT:
            self._skipping, rest = True, b""
        self._rest = rest

    def _line(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            return
        # Most lines are text deltas: they are not worth parsing.
        if not any(mark in line for mark in (b'"usage"', b"message_stop", b'"error"')):
            return
        try:
            event = json.loads(line[5:])
        except ValueError:
            return
        if isinstance(event, dict):
            self._event(event)

    def _event(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "message_start":
                message = event.get("message")
                usage = message.get("usage") if isinstance(message, dict) else None
                self.tokens = self.tokens.updated(usage)
            case "message_delta":
                self.tokens = self.tokens.updated(event.get("usage"))
            case "message_stop":
                self.finished = True
            case "error":
                error = event.get("error")
                words = error if isinstance(error, dict) else {}
                kind, message = str(words.get("type", "")), str(words.get("message", ""))
                self.error = StreamError(_ERROR_STATUS.get(kind, 500), kind, message)
