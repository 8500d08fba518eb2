from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_runner.config import parse_gateway_url
from agentsession_runner.http1 import HttpError, ResponseReader, request_bytes

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\nTrailer: x\r\n\r\n"
)
EMPTY = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"


def read(pieces: list[bytes]) -> ResponseReader:
    reader = ResponseReader()
    for piece in pieces:
        reader.feed(piece)
    return reader


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(marks)]


@given(
    response=st.sampled_from([PLAIN, CHUNKED, CONTINUED]),
    cuts=st.lists(st.integers(min_value=0, max_value=500), max_size=20),
)
def test_pieces_do_not_matter(response: bytes, cuts: list[int]) -> None:
    reader = read(pieces_of(response, cuts))
    assert reader.complete
    assert reader.status == 200
    assert reader.take_body() == b"hello"


def test_headers_and_kept_connections() -> None:
    reader = read([PLAIN])
    assert reader.headers["x-a"] == "b"
    assert reader.keeps_connection
    assert read([EMPTY]).keeps_connection
    assert read([EMPTY]).status == 202


def test_a_body_until_the_connection_closes() -> None:
    reader = read([UNTIL_CLOSE])
    assert not reader.complete
    reader.end_of_input()
    assert reader.complete
    assert not reader.keeps_connection
    assert reader.take_body() == b"hello"


def test_chunks_are_there_as_soon_as_they_come() -> None:
    reader = read([CHUNKED[: CHUNKED.index(b"3;ext") - 2]])
    assert reader.take_body() == b"he"
    assert not reader.complete


@pytest.mark.parametrize("end", [10, len(PLAIN) - 1])
def test_a_cut_response_is_an_error(end: int) -> None:
    reader = read([PLAIN[:end]])
    with pytest.raises(HttpError, match="closed the connection"):
        reader.end_of_input()


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n",
        b"x" * 70_000,
    ],
)
def test_no_http_is_an_error(data: bytes) -> None:
    with pytest.raises(HttpError):
        read([data])


def test_a_request() -> None:
    gateway = parse_gateway_url("http://gateway:8080/base")
    request = request_bytes(gateway, "POST", "/v1/x", "secret", b"{}")
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /base/v1/x HTTP/1.1"
    assert "Host: gateway:8080" in lines
    assert "Authorization: Bearer secret" in lines
    assert "Content-Length: 2" in lines
    assert body == b"{}"


def test_an_ipv6_host_is_bracketed() -> None:
    gateway = parse_gateway_url("http://[fd00::1]:8080")
    assert b"Host: [fd00::1]:8080" in request_bytes(gateway, "GET", "/", "t")
