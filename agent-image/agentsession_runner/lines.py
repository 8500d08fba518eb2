"""Lines out of bytes, of any length up to a stated one (asyncio's own reader gives up at 64 KiB)."""

from __future__ import annotations

LINE_LIMIT_BYTES = 64 * 1024 * 1024


class LineSplitter:
    """Takes bytes in any pieces; returns complete lines without their line break."""

    def __init__(self, limit_bytes: int = LINE_LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._skipping = False
        self.dropped = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes. A line over the limit is dropped and counted in `dropped`."""
        self._buffer += data
        lines: list[bytes] = []
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if end < 0:
                self._keep_within_limit()
                return lines
            if not self._skipping:
                lines.append(bytes(self._buffer[:end]))
            self._skipping = False
            del self._buffer[: end + 1]
            self._searched = 0

    def rest(self) -> bytes:
        """What came after the last line break."""
        rest = b"" if self._skipping else bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return rest

    def _keep_within_limit(self) -> None:
        if len(self._buffer) > self._limit:
            if not self._skipping:
                self.dropped += 1
            self._skipping = True
            self._buffer.clear()
        self._searched = len(self._buffer)
