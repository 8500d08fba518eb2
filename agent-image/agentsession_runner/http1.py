"""HTTP/1.1 without I/O: requests to bytes, bytes to a response.

Shared by the blocking first exchange and the asyncio client. `http.client` costs more start-up
time than all of the runner's first exchange and cannot be used with asyncio.
"""

from __future__ import annotations

from agentsession_runner.config import GatewayAddress

HEAD_LIMIT_BYTES = 64 * 1024
BODY_LIMIT_BYTES = 64 * 1024 * 1024


class HttpError(Exception):
    """The peer's bytes are no HTTP/1.1 response."""


def request_bytes(
    gateway: GatewayAddress,
    method: str,
    path: str,
    token: str,
    body: bytes | None = None,
    accept: str = "application/json",
) -> bytes:
    """Return a whole request; `path` is below the gateway's URL."""
    headers = [f"Accept: {accept}"]
    if body is not None:
        headers += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    elif method != "GET":
        headers.append("Content-Length: 0")
    return request_head(gateway, method, path, token, *headers) + (body or b"")


def request_head(
    gateway: GatewayAddress, method: str, path: str, token: str, *headers: str
) -> bytes:
    """Return the head of a request; `headers` are those beside the usual ones."""
    host = f"[{gateway.host}]" if ":" in gateway.host else gateway.host
    lines = [
        f"{method} {gateway.prefix}{path} HTTP/1.1",
        f"Host: {host}:{gateway.port}",
        f"Authorization: Bearer {token}",
        "User-Agent: agentsession-runner",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


class ResponseReader:
    """Takes bytes in any pieces; gives status, headers and the body's bytes as they come."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.complete = False
        self._buffer = bytearray()
        self._body = bytearray()
        self._remaining: int | None = None
        self._chunked = False
        self._in_chunk = False
        self._trailer = False

    @property
    def keeps_connection(self) -> bool:
        """Whether another request may follow on the same connection."""
        by_length = self._chunked or self._remaining is not None
        return self.complete and by_length and self.headers.get("connection", "") != "close"

    def feed(self, data: bytes) -> None:
        """Take bytes from the peer.

        Raises:
            HttpError: they are no HTTP/1.1 response.
        """
        self._buffer += data
        if self.status is None and not self._read_head():
            return
        if self._chunked:
            self._read_chunks()
        else:
            self._read_plain()
        if len(self._body) > BODY_LIMIT_BYTES:
            raise HttpError(f"the response is longer than {BODY_LIMIT_BYTES} bytes")

    def end_of_input(self) -> None:
        """The peer closed the connection.

        Raises:
            HttpError: in the middle of the response.
        """
        if self.complete:
            return
        if self.status is None or self._chunked or self._remaining is not None:
            raise HttpError("the gateway closed the connection in the middle of its answer")
        self.complete = True

    def take_body(self) -> bytes:
        """Return what came of the body since the last call."""
        taken = bytes(self._body)
        self._body.clear()
        return taken

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_LIMIT_BYTES:
                raise HttpError("the response has no end of its headers")
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        status = _status(lines[0])
        if 100 <= status < 200:
            return self._read_head()
        self.status = status
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        if status in (204, 304):
            self._remaining = 0
        elif not self._chunked and "content-length" in self.headers:
            self._remaining = _number(self.headers["content-length"], 10)
        return True

    def _read_plain(self) -> None:
        if self._remaining is None:
            self._body += self._buffer
            self._buffer.clear()
            return
        piece = self._buffer[: self._remaining]
        self._body += piece
        self._remaining -= len(piece)
        del self._buffer[: len(piece)]
        self.complete = self._remaining == 0

    def _read_chunks(self) -> None:
        while not self.complete:
            if self._in_chunk:
                if not self._read_chunk_data():
                    return
                continue
            line = self._take_line()
            if line is None:
                return
            if self._trailer:
                self.complete = line == b""
            else:
                self._start_chunk(line)

    def _start_chunk(self, line: bytes) -> None:
        size = _number(line.partition(b";")[0].decode("latin-1").strip(), 16)
        self._trailer = size == 0
        self._in_chunk = size > 0
        self._remaining = size

    def _read_chunk_data(self) -> bool:
        remaining = self._remaining or 0
        piece = self._buffer[:remaining]
        self._body += piece
        del self._buffer[: len(piece)]
        self._remaining = remaining - len(piece)
        if self._remaining or len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise HttpError("a chunk is longer than it says")
        del self._buffer[:2]
        self._in_chunk = False
        return True

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_LIMIT_BYTES:
                raise HttpError("a chunk's size has no end")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line


def _status(line: str) -> int:
    parts = line.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1."):
        raise HttpError(f"no HTTP/1.1 response: {line[:60]!r}")
    return _number(parts[1], 10)


def _number(text: str, base: int) -> int:
    try:
        number = int(text, base)
    except ValueError:
        number = -1
    if number < 0:
        raise HttpError(f"not a number: {text[:20]!r}")
    return number
