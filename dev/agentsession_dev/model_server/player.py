"""Plays a script onto a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agentsession_dev.connections import Connections
from agentsession_dev.model_server.records import Outcome
from agentsession_dev.model_server.script import Ending, Script

Sleep = Callable[[float], Awaitable[None]]
_OUTCOMES: dict[Ending, Outcome] = {
    Ending.COMPLETE: "complete",
    Ending.CUT: "cut",
    Ending.RESET: "reset",
}


class ScriptResponse(Response):
    """An ASGI response that sends a script and stops as soon as the client is gone."""

    def __init__(
        self,
        script: Script,
        *,
        sleep: Sleep,
        now: Callable[[], float],
        connections: Connections,
        on_first_byte: Callable[[int], Awaitable[None]],
        on_end: Callable[[Outcome], Awaitable[None]],
    ) -> None:
        super().__init__()
        self._script = script
        self._sleep = sleep
        self._now = now
        self._connections = connections
        self._on_first_byte = on_first_byte
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the script."""
        playing = asyncio.create_task(self._play(send))
        leaving = asyncio.create_task(_client_gone(receive))
        outcome: Outcome = "client_gone"
        try:
            await asyncio.wait({playing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                playing.result()
                outcome = _OUTCOMES[self._script.ending]
        finally:
            for task in (playing, leaving):
                task.cancel()
            await asyncio.gather(playing, leaving, return_exceptions=True)
            await self._on_end(outcome)
        if outcome in ("cut", "reset"):
            self._leave(scope)
            # uvicorn takes an application that returns before the connection is gone for a mistake.
            await _client_gone(receive)

    async def _play(self, send: Send) -> None:
        script = self._script
        await self._pause(script.delay)
        if script.ending is not Ending.RESET:
            await self._on_first_byte(script.status)
            headers = [(name.encode(), value.encode()) for name, value in script.headers.items()]
            start: dict[str, Any] = {"status": script.status, "headers": headers}
            await send({"type": "http.response.start", **start})
        for frame in script.frames:
            await self._pause(frame.delay)
            stamp = f": {self._now():.6f}\n".encode() if frame.stamped else b""
            await send(
                {"type": "http.response.body", "body": stamp + frame.data, "more_body": True}
            )
        if script.ending is Ending.COMPLETE:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _leave(self, scope: Scope) -> None:
        address = scope.get("client")
        resets = self._script.ending is Ending.RESET
        leave = self._connections.reset if resets else self._connections.close
        if address is None or not leave(tuple(address)):
            # Not under our server (an in-process client): an error ends the answer as well.
            raise ConnectionResetError(f"scripted ending: {self._script.ending}")

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            await self._sleep(seconds)


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
