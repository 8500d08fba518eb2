"""Server-sent events and lines, in any pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_runner import sse
from agentsession_runner.lines import LineSplitter
from agentsession_runner.sse import ServerSentEvent, SseError, SseParser

STREAM = (
    ": connected\n\n"
    'event: turn\ndata: {"a": "ü"}\n\n'
    ": keep-alive\n\n"
    "data: one\r\ndata: two\r\n\r\n"
    "event: drain\ndata: {}\n\n"
    "event: nothing\n\n"
).encode()
EVENTS = [
    ServerSentEvent("turn", '{"a": "ü"}'),
    ServerSentEvent("message", "one\ntwo"),
    ServerSentEvent("drain", "{}"),
]


@given(cuts=st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=20))
def test_events(cuts: list[int]) -> None:
    parser = SseParser()
    marks = sorted({*cuts, 0, len(STREAM)})
    events = [
        event
        for start, end in itertools.pairwise(marks)
        for event in parser.feed(STREAM[start:end])
    ]
    assert events == EVENTS


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_LIMIT_BYTES", 100)
    with pytest.raises(SseError):
        SseParser().feed(b"data: " + b"x" * 200)


@given(
    lines=st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=10),
    size=st.integers(min_value=1, max_value=30),
)
def test_lines(lines: list[bytes], size: int) -> None:
    data = b"".join(line + b"\n" for line in lines) + b"rest"
    splitter = LineSplitter()
    found = [
        line
        for start in range(0, len(data), size)
        for line in splitter.feed(data[start : start + size])
    ]
    assert found == lines
    assert splitter.rest() == b"rest"
    assert splitter.rest() == b""


def test_a_line_over_the_limit_is_dropped_and_counted() -> None:
    splitter = LineSplitter(limit_bytes=10)
    assert splitter.feed(b"short\n" + b"x" * 11) == [b"short"]
    assert splitter.feed(b"y" * 50) == []
    assert splitter.feed(b"end\nnext\n") == [b"next"]
    assert splitter.dropped == 1
