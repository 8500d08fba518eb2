"""Counts every request when its answer begins: a stream's answer may last for hours."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentsession_gateway.metrics import Metrics

NO_ROUTE = "none"


class CountedRequests:
    """An ASGI middleware. `clock` is monotonic seconds."""

    def __init__(self, app: ASGIApp, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._clock()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The router puts its match there; what matches nothing is anybody's invention.
                route = getattr(scope.get("route"), "path", NO_ROUTE)
                self._metrics.answered(route, message["status"], self._clock() - began)
            await send(message)

        await self._app(scope, receive, counted)
