"""Asks the model API directly and through the gateway in turns. Runs inside the gateway's container.

Standard library only. Reads its parameters as JSON from standard input and prints what it saw as JSON:
seconds from a request's first byte sent to its answer's first byte, and from a chunk's leaving the
model server to its arrival.
"""

from __future__ import annotations

import http.client
import json
import pathlib
import sys
import time
import urllib.parse
from typing import Any

TIMEOUT_SECONDS = 60


class Door:
    """One way to the model API, with a connection that is kept."""

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        parts = urllib.parse.urlsplit(base)
        self._path = parts.path + "/v1/messages"
        self._headers = headers
        self._connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS
        )

    def ask(self, body: bytes) -> tuple[float, list[float]]:
        """First byte after so many seconds, and each stamped chunk's way in seconds."""
        began = time.perf_counter()
        self._connection.request("POST", self._path, body, self._headers)
        answer = self._connection.getresponse()
        line = answer.readline()
        first = time.perf_counter() - began
        if answer.status != 200:
            sys.exit(f"{self._path}: HTTP {answer.status}: {line + answer.read(500)!r}")
        ways = []
        while line:
            if line.startswith(b": "):
                ways.append(time.time() - float(line[2:]))
            line = answer.readline()
        # Reading lines alone does not end an answer whose length is known.
        answer.read()
        return first, ways

    def close(self) -> None:
        """Let the connection go."""
        self._connection.close()


def main() -> None:
    """Measure as told."""
    told: dict[str, Any] = json.load(sys.stdin)
    key = pathlib.Path(told["keyFile"]).read_text().strip()
    usual = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
    doors = {
        "direct": Door(told["direct"], {**usual, "x-api-key": key}),
        "gateway": Door(told["gateway"], {**usual, "authorization": f"Bearer {told['token']}"}),
    }
    try:
        print(json.dumps(measure(told, doors)))
    finally:
        for door in doors.values():
            door.close()


def measure(told: dict[str, Any], doors: dict[str, Door]) -> dict[str, dict[str, list[float]]]:
    """Seconds by door and by what was asked for: requests, or the chunks of streams."""
    seen: dict[str, dict[str, list[float]]] = {
        name: {"requests": [], "chunks": []} for name in doors
    }
    short, stream = told["short"].encode(), told["stream"].encode()
    for door in doors.values():
        for _ in range(told["uncounted"]):
            door.ask(short)
    for number in range(told["requests"]):
        for name in sorted(doors, reverse=bool(number % 2)):
            seen[name]["requests"].append(doors[name].ask(short)[0])
    for number in range(told["streams"]):
        for name in sorted(doors, reverse=bool(number % 2)):
            seen[name]["chunks"] += doors[name].ask(stream)[1]
    return seen


if __name__ == "__main__":
    main()
