"""Failures written into the script of an answer."""

from __future__ import annotations

import json

import pytest

from agentsession_dev.model_server.answers import plain_answer
from agentsession_dev.model_server.rules import Failure
from agentsession_dev.model_server.script import (
    Ending,
    Script,
    apply_failure,
    script_answer,
)


def streamed(text: str = "one two three four") -> bytes:
    return b"".join(frame.data for frame in script(text).frames)


def script(text: str = "one two three four", *, stream: bool = True) -> Script:
    return script_answer(
        plain_answer(text, 40), stream=stream, message_id="msg_1", model="m", request_id="req_1"
    )


def test_failure_with_status() -> None:
    failed = apply_failure(script(), Failure(status=429, retry_after=2), "req_1")
    assert failed.status == 429
    assert failed.headers["retry-after"] == "2"
    assert failed.headers["request-id"] == "req_1"
    assert json.loads(failed.frames[0].data) == {
        "type": "error",
        "error": {
            "type": "rate_limit_error",
            "message": "This request would exceed your rate limit.",
        },
        "request_id": "req_1",
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (418, "invalid_request_error"),
        (500, "api_error"),
        (503, "api_error"),
        (529, "overloaded_error"),
    ],
)
def test_error_types(status: int, kind: str) -> None:
    body = json.loads(apply_failure(script(), Failure(status=status), "r").frames[0].data)
    assert body["error"]["type"] == kind
    assert body["error"]["message"]


def test_cut_leaves_half_of_the_words() -> None:
    cut = apply_failure(script(), Failure(cut_mid=True), "r")
    assert cut.ending is Ending.CUT
    sent = b"".join(frame.data for frame in cut.frames)
    assert b'"one "' in sent
    assert b'"two "' in sent
    assert b'"three "' not in sent
    assert b"message_stop" not in sent


def test_cut_without_streaming_promises_more_than_it_sends() -> None:
    cut = apply_failure(script(stream=False), Failure(cut_mid=True), "r")
    sent = sum(len(frame.data) for frame in cut.frames)
    assert 0 < sent < int(cut.headers["content-length"])


def test_stall_in_the_middle_then_goes_on() -> None:
    stalled = apply_failure(script(), Failure(stall_mid=30), "r")
    assert [frame.delay for frame in stalled.frames if frame.delay] == [30]
    assert b"".join(frame.data for frame in stalled.frames) == streamed()
    assert stalled.ending is Ending.COMPLETE


def test_stall_before_the_status_line() -> None:
    stalled = apply_failure(script(), Failure(stall_before=30), "r")
    assert stalled.delay == 30
    assert stalled.frames == script().frames


def test_error_in_the_middle_of_a_stream() -> None:
    failed = apply_failure(script(), Failure(error_mid=True), "r")
    name, data = failed.frames[-1].data.decode().strip().split("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: ")) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "Overloaded"},
    }
    assert apply_failure(script(stream=False), Failure(error_mid=True), "r").status == 529


def test_reset_sends_nothing() -> None:
    failed = apply_failure(script(), Failure(reset=True), "r")
    assert (failed.frames, failed.ending) == ((), Ending.RESET)
