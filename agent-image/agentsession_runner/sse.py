"""Server-sent events out of bytes, without I/O."""

from __future__ import annotations

from dataclasses import dataclass

EVENT_LIMIT_BYTES = 32 * 1024 * 1024


class SseError(Exception):
    """The stream does not follow the format."""


@dataclass(frozen=True)
class ServerSentEvent:
    """One event: its kind and its data lines joined."""

    event: str
    data: str


class SseParser:
    """Takes bytes in any pieces; returns the events that are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._event = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take bytes; comment lines (keep-alives) give no event.

        Raises:
            SseError: one line is longer than 32 MiB.
        """
        self._buffer += data
        events: list[ServerSentEvent] = []
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if end < 0:
                self._searched = len(self._buffer)
                if self._searched > EVENT_LIMIT_BYTES:
                    raise SseError(f"a line of the stream exceeds {EVENT_LIMIT_BYTES} bytes")
                return events
            line = self._buffer[:end].decode("utf-8", "replace").removesuffix("\r")
            del self._buffer[: end + 1]
            self._searched = 0
            event = self._take_line(line)
            if event is not None:
                events.append(event)

    def _take_line(self, line: str) -> ServerSentEvent | None:
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                self._event = value
            elif name == "data":
                self._data.append(value)
            return None
        event, data = self._event, self._data
        self._event, self._data = "", []
        return ServerSentEvent(event or "message", "\n".join(data)) if data else None
