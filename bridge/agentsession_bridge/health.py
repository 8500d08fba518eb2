"""Whether the process works, for the kubelet."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from redis import RedisError
from starlette.responses import JSONResponse

from agentsession_bridge.polling import Poller
from agentsession_core.mailbox.store import MailboxStore

# Two polls of 30 s, an answer's 20 s and some: beyond it the poll hangs, whatever the socket says.
STALLED_SECONDS = 120.0


def create_app(store: MailboxStore, poller: Poller, now: Callable[[], float]) -> FastAPI:
    """Return the probes' application."""
    app = FastAPI(title="agentsession-bridge", openapi_url=None)
    started_at = now()

    def silence() -> float:
        return now() - (poller.polled_at if poller.polled_at is not None else started_at)

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        # A conflict is no stall: restarting would only make two bridges fight for longer.
        stalled = silence() > STALLED_SECONDS and not poller.in_conflict
        return JSONResponse({"secondsSincePoll": round(silence(), 1)}, 503 if stalled else 200)

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        problem = ""
        if poller.in_conflict:
            problem = "another process polls with this bot's token: stop it, or use another bot"
        elif poller.polled_at is None:
            problem = "Telegram has not answered yet"
        else:
            try:
                await store.ping()
            except RedisError as error:
                problem = f"Redis: {type(error).__name__}"
        return JSONResponse({"problem": problem}, 503 if problem else 200)

    return app
