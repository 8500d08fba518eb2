"""Tokens and cost."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_core.settings import ModelPrice
from agentsession_gateway.usage import (
    LINE_LIMIT,
    StreamError,
    StreamMeter,
    Tokens,
    amounts,
    tokens_of_answer,
)

PRICES = {"m": ModelPrice(input="3", output="15", cache_read="0.30", cache_write="3.75")}
STREAM = b"".join(
    [
        b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":10,'
        b'"cache_creation_input_tokens":100,"cache_read_input_tokens":1000,"output_tokens":2}}}\n\n',
        b"event: ping\ndata: {}\n\n",
        b'data: {"type":"content_block_delta","delta":{"text":"\\"usage\\" message_stop {"}}\n\n',
        b'event: message_delta\r\ndata: {"type":"message_delta","usage":{"output_tokens":55}}\r\n\r\n',
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ]
)
TOTAL = Tokens(input=10, output=55, cache_read=1000, cache_write=100)


@given(cuts=st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=30))
def test_a_stream_counts_the_same_however_it_is_cut(cuts: list[int]) -> None:
    meter = StreamMeter()
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in itertools.pairwise(edges):
        meter.feed(STREAM[start:end])
    assert (meter.tokens, meter.finished, meter.error) == (TOTAL, True, None)


def test_a_cut_stream_counts_what_it_said() -> None:
    meter = StreamMeter()
    meter.feed(STREAM[:300])
    assert meter.tokens == Tokens(input=10, output=2, cache_read=1000, cache_write=100)
    assert not meter.finished


def test_later_figures_replace_earlier_ones() -> None:
    meter = StreamMeter()
    for tokens in (5, 9):
        usage = {"input_tokens": 20, "output_tokens": tokens}
        data = json.dumps({"type": "message_delta", "usage": usage})
        meter.feed(f"data: {data}\n\n".encode())
    assert meter.tokens == Tokens(input=20, output=9)


@pytest.mark.parametrize(
    ("kind", "status"),
    [("overloaded_error", 529), ("rate_limit_error", 429), ("api_error", 500), ("new_error", 500)],
)
def test_an_error_in_a_stream(kind: str, status: int) -> None:
    meter = StreamMeter()
    error = json.dumps({"type": "error", "error": {"type": kind, "message": "no"}})
    meter.feed(f"data: {error}\n\n".encode())
    assert meter.error == StreamError(status, kind, "no")


def test_an_error_in_a_stream_without_its_parts() -> None:
    meter = StreamMeter()
    meter.feed(b'data: {"type":"error","error":"no"}\n\n')
    assert meter.error == StreamError(500, "", "")


def test_an_endless_line_is_not_kept() -> None:
    meter = StreamMeter()
    for _ in range(40):
        meter.feed(b"x" * (LINE_LIMIT // 10))
        assert len(meter._rest) <= LINE_LIMIT
    meter.feed(b"\n" + STREAM)
    assert meter.tokens == TOTAL


@pytest.mark.parametrize(
    "line",
    [
        b'data: {"usage": ',
        b'data: ["usage"]',
        b'data: {"type":"message_start","message":["usage"]}',
        b'data: {"type":"message_delta","usage":{"output_tokens":-1}}',
        b'data: {"type":"message_delta","usage":{"output_tokens":"7"}}',
        b'data: {"type":"message_delta","usage":{"output_tokens":true}}',
        b'data: {"type":"message_delta","usage":null}',
        b": comment usage",
    ],
)
def test_nonsense_counts_nothing(line: bytes) -> None:
    meter = StreamMeter()
    meter.feed(line + b"\n\n")
    assert meter.tokens == Tokens()


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b'{"usage":{"input_tokens":1,"output_tokens":2}}', Tokens(input=1, output=2)),
        (b'{"usage":{}}', Tokens()),
        (b'{"input_tokens": 5}', Tokens()),
        (b"[1]", Tokens()),
        (b"<html>", Tokens()),
        (b"", Tokens()),
    ],
)
def test_an_answer_in_one_object(body: bytes, tokens: Tokens) -> None:
    assert tokens_of_answer(body) == tokens


def test_amounts() -> None:
    # 10·3 + 55·15 + 1000·0.30 + 100·3.75 = 1530 US dollars per million tokens.
    assert amounts("m", TOTAL, PRICES) == {
        "input_tokens": 1110,
        "output_tokens": 55,
        "cost_nanousd": 1_530_000,
    }


def test_no_price_is_not_free() -> None:
    assert amounts("other", TOTAL, PRICES) == {
        "input_tokens": 1110,
        "output_tokens": 55,
        "unpriced": 1,
    }


def test_the_smallest_price_is_rounded_once() -> None:
    price = ModelPrice(input="0.00025", output="0", cache_read="0", cache_write="0")
    assert amounts("m", Tokens(input=3), {"m": price})["cost_nanousd"] == 1
