"""A gateway for the runner's tests: the runner protocol, checked against core's models."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from agentsession_core.wire import (
    ByeReceipt,
    CancelOrder,
    DrainOrder,
    EventBatch,
    Hello,
    ResultReceipt,
    TurnEvent,
    TurnMessage,
    TurnOrder,
    TurnResult,
    Welcome,
    WireModel,
)

MODEL_PREFIX = "/v1/model/anthropic"
DEADLINE_SECONDS = 20.0


def welcome(**changes: Any) -> Welcome:
    """A usual answer to hello."""
    values: dict[str, Any] = {
        "protocol": 1,
        "run": "uid/1",
        "conversation": 0,
        "agent_session_id": None,
        "model": None,
        "process_mode": "Persistent",
    }
    return Welcome(**{**values, **changes})


def turn(name: str, *texts: str, **changes: Any) -> TurnOrder:
    """A usual turn."""
    messages = tuple(TurnMessage(id=f"{name}-{n}", text=text) for n, text in enumerate(texts))
    values: dict[str, Any] = {"attempt": 1, "conversation": 0, "remaining_seconds": 60.0}
    return TurnOrder(turn=name, messages=messages, **{**values, **changes})


@dataclass
class Answer:
    """What to answer instead of the usual; status 0 closes the connection without a word."""

    status: int
    body: bytes = b"{}"


@dataclass
class RunnerGateway:
    """Everything the runner said, and the orders it is given."""

    url: str = ""
    welcome: Welcome = field(default_factory=welcome)
    bye_answers: deque[bool] = field(default_factory=deque)
    model_url: str = ""
    answers: dict[str, deque[Answer]] = field(default_factory=dict)
    hellos: list[Hello] = field(default_factory=list)
    events: list[tuple[str, TurnEvent]] = field(default_factory=list)
    results: list[tuple[str, TurnResult]] = field(default_factory=list)
    raw_events: list[bytes] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    model_tokens: list[tuple[str, str]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    byes: int = 0
    streams: list[asyncio.StreamWriter] = field(default_factory=list)
    standing_orders: list[tuple[str, WireModel]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    hello_gate: asyncio.Event | None = None
    connections: set[asyncio.Task[None]] = field(default_factory=set)
    server: asyncio.Server | None = None
    accepted: int = 0
    is_broken: bool = False

    async def start(self, port: int = 0) -> None:
        """Listen on a port of this machine."""
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def go_away(self) -> None:
        """End as a gateway whose pod is gone: nothing listens, every connection is cut."""
        assert self.server is not None
        self.server.close()
        self.close()
        await asyncio.gather(*self.connections, return_exceptions=True)
        self.streams.clear()

    async def come_back(self) -> None:
        """Listen again where it did."""
        port = urlsplit(self.url).port
        assert port is not None
        await self.start(port)

    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for a named condition; returns its value."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not (value := condition()):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            seen = "\n".join(self.log[-30:])
            raise AssertionError(f"waited {DEADLINE_SECONDS} s for {what}; seen:\n{seen}") from None
        return value

    async def result_of(self, name: str) -> TurnResult:
        """Wait for a turn's result."""
        found = await self.until(
            lambda: [result for turn_name, result in self.results if turn_name == name],
            f"the result of turn {name}",
        )
        result: TurnResult = found[-1]
        return result

    def text_of(self, name: str) -> str:
        """The deltas of a turn joined."""
        events = [event for turn_name, event in self.events if turn_name == name]
        return "".join(event.data["text"] for event in events if event.kind == "delta")

    def states_of(self, name: str) -> list[dict[str, Any]]:
        """The state events of a turn."""
        return [e.data for turn_name, e in self.events if turn_name == name and e.kind == "state"]

    def order(
        self, message: TurnOrder | CancelOrder | DrainOrder, *, standing: bool = False
    ) -> None:
        """Send an order on the newest stream; a standing one also at every later connect."""
        names = {TurnOrder: "turn", CancelOrder: "cancel", DrainOrder: "drain"}
        name = names[type(message)]
        if standing:
            self.standing_orders.append((name, message))
        if self.streams:
            self._send(self.streams[-1], name, message)

    async def ready(self) -> None:
        """Wait for an open stream."""
        await self.until(lambda: self.streams, "an open stream")

    def close(self) -> None:
        """End every connection."""
        for task in self.connections:
            task.cancel()

    def close_streams(self) -> None:
        """End every stream, as a gateway that is replaced does."""
        for writer in self.streams:
            writer.close()
        self.streams.clear()

    def _send(self, writer: asyncio.StreamWriter, name: str, message: WireModel) -> None:
        data = f"event: {name}\ndata: {json.dumps(message.to_wire())}\n\n".encode()
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _notice(self, line: str) -> None:
        self.log.append(line)
        self.changed.set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A new connection; a broken gateway ends it without a word."""
        self.accepted += 1
        if self.is_broken:
            writer.close()
            self._notice("cut")
            return
        task = asyncio.create_task(self.serve(reader, writer))
        self.connections.add(task)
        task.add_done_callback(self.connections.discard)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while await self._serve_request(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            self._notice("connection lost")
        finally:
            if writer in self.streams:
                self.streams.remove(writer)
            writer.close()

    async def _serve_request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        if path.startswith(MODEL_PREFIX):
            await self._forward(head, headers, reader, writer)
            return False
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.tokens.append(headers.get("authorization", ""))
        planned = self.answers.get(path.rpartition("/")[2])
        answer = planned.popleft() if planned else None
        if answer is not None and answer.status == 0:
            self._notice(f"{method} {path} -> closed")
            return False
        if path == "/v1/runner/stream" and answer is None:
            await self._stream(writer, reader)
            return False
        if answer is None:
            answer = await self._answer(path, body)
        writer.write(
            b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (answer.status, len(answer.body), answer.body)
        )
        self._notice(f"{method} {path} {body[:300]!r} -> {answer.status}")
        return True

    async def _answer(self, path: str, body: bytes) -> Answer:
        parts = path.split("/")
        if path == "/v1/runner/hello":
            self.hellos.append(Hello.model_validate_json(body))
            self._notice("hello")
            if self.hello_gate is not None:
                await self.hello_gate.wait()
            return _json(self.welcome)
        if path == "/v1/runner/bye":
            self.byes += 1
            return _json(
                ByeReceipt(reopened=self.bye_answers.popleft() if self.bye_answers else False)
            )
        if path.endswith("/events"):
            self.raw_events.append(body)
            batch = EventBatch.model_validate_json(body)
            self.events += [(parts[-2], event) for event in batch.events]
            return Answer(202, b"")
        if path.endswith("/result"):
            first = all(name != parts[-2] for name, _ in self.results)
            self.results.append((parts[-2], TurnResult.model_validate_json(body)))
            return _json(ResultReceipt(committed=first))
        return Answer(404)

    async def _stream(self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for name, message in self.standing_orders:
            self._send(writer, name, message)
        self.streams.append(writer)
        self._notice("stream open")
        await reader.read()

    async def _forward(
        self,
        head: str,
        headers: dict[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.model_tokens.append((headers.get("x-api-key", ""), headers.get("authorization", "")))
        target = urlsplit(self.model_url)
        up_reader, up_writer = await asyncio.open_connection(target.hostname, target.port)
        kept = [
            line
            for line in head.split("\r\n")[1:]
            if line and not line.lower().startswith("connection:")
        ]
        first = head.split("\r\n")[0].replace(MODEL_PREFIX, "", 1)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        up_writer.write("\r\n".join([first, *kept, "Connection: close", "", ""]).encode("latin-1"))
        up_writer.write(body)
        gone = asyncio.create_task(reader.read())
        copying = asyncio.create_task(_copy(up_reader, writer))
        await asyncio.wait({gone, copying}, return_when=asyncio.FIRST_COMPLETED)
        for task in (gone, copying):
            task.cancel()
        up_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def _json(model: WireModel) -> Answer:
    return Answer(200, json.dumps(model.to_wire()).encode())


@asynccontextmanager
async def running_gateway(**values: Any) -> AsyncIterator[RunnerGateway]:
    """A gateway on a free port of this machine."""
    gateway = RunnerGateway(**values)
    await gateway.start()
    try:
        yield gateway
    finally:
        if gateway.server is not None:
            gateway.server.close()
        gateway.close()
