"""What is kept of a failed model call for the person who reads the session's condition."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from agentsession_gateway.upstream_failure import (
    DETAIL_CHARACTERS,
    Failure,
    failure_of,
    failure_of_answer,
    retry_after_seconds,
    secrets_of,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def body_of(kind: str, message: str) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()


def read(status: int, body: bytes, wait: float | None = None) -> Failure:
    return failure_of_answer(status, body, model="m", wait=wait, now=NOW, secrets=())


def test_the_apis_own_words() -> None:
    assert read(529, body_of("overloaded_error", "Overloaded")) == Failure(
        529, "overloaded_error", "Overloaded"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad Gateway</html>",
        b"[]",
        b'{"error":"x"}',
        b'{"error":{"type":1}}',
        b"[" * 9999,
    ],
)
def test_an_answer_of_another_shape_says_nothing(body: bytes) -> None:
    assert read(500, body) == Failure(500, "", "")


def test_an_unknown_model_is_named() -> None:
    assert read(404, body_of("not_found_error", "nothing here")).detail == (
        "asked for model 'm': nothing here"
    )
    assert read(404, b"").detail == "asked for model 'm':"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("prompt is too long: 210000 tokens > 200000 maximum", "prompt_too_long"),
        ("input length and `max_tokens` exceed context limit: 9 + 9 > 10", "prompt_too_long"),
        ("Your credit balance is too low to access the Anthropic API.", "billing_error"),
        ("max_tokens: 1 > 0", "invalid_request_error"),
    ],
)
def test_causes_that_the_api_has_no_type_for(message: str, code: str) -> None:
    assert read(400, body_of("invalid_request_error", message)).code == code


@pytest.mark.parametrize(
    ("wait", "told"),
    [
        (None, "Slow down"),
        (30.0, "Slow down"),
        (3600.0, "Slow down; it takes calls again at 2026-11-25 13:00 UTC"),
    ],
)
def test_a_long_wait_is_told(wait: float | None, told: str) -> None:
    assert read(429, body_of("rate_limit_error", "Slow down"), wait).detail == told


def test_a_long_wait_without_words() -> None:
    assert read(429, b"", 7200.0).detail == "it takes calls again at 2026-11-25 14:00 UTC"


def test_a_detail_is_one_short_line_without_secrets() -> None:
    failure = failure_of(400, "k" * 99, "a\n\tb\x1b[31m\x00 key-1 " + "x" * 999, ["key-1"])
    assert failure.detail.startswith("a b [31m *** xxx")
    assert len(failure.detail) == DETAIL_CHARACTERS
    assert len(failure.code) == 64


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("1e300", 86_400.0),
        ("inf", 86_400.0),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("Wed, 25 Nov 2026 12:01:00 GMT", 60.0),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0.0),
        ("Wed, 25 Nov 2026 12:01:00", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOW) == seconds


def test_secrets_of_a_request() -> None:
    assert secrets_of({"x-api-key": "k"}) == ("k",)
    assert secrets_of({"authorization": "Bearer t"}) == ("t",)
    assert secrets_of({}) == ()
