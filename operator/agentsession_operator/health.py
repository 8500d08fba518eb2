"""Liveness and readiness over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Check = Callable[[], Awaitable[str | None]]


@asynccontextmanager
async def serve_health(port: int, ready: Check) -> AsyncIterator[None]:
    """Serves `/healthz` (the loop turns) and `/readyz` (503 with the cause `ready` names)."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        cause = await ready()
        return web.Response(text=f"{cause or 'ok'}\n", status=503 if cause else 200)

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()
