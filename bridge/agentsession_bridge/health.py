"""Whether the process works, for the kubelet."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from redis import RedisError
from starlette.responses import JSONResponse

from agentsession_bridge.lease import Lease
from agentsession_bridge.polling import Poller
from agentsession_core.mailbox.store import MailboxStore

# A poll that is given up, its pause and another one: beyond it nothing of ours helps any more.
STALLED_SECONDS = 180.0


class Health:
    """`poller` is None where Telegram brings updates."""

    def __init__(
        self, store: MailboxStore, lease: Lease, poller: Poller | None, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._lease = lease
        self._poller = poller
        self._now = now

    def silence(self) -> float:
        """Seconds since Telegram's last word to this process; 0 where it does not ask."""
        if self._poller is None or self._lease.held_since is None:
            return 0.0
        polled_at = self._poller.polled_at
        return self._now() - max(self._lease.held_since, polled_at or 0.0)

    def stalled(self) -> bool:
        """Whether the process is of no use any more."""
        # A conflict is no stall: restarting would only make two bridges fight for longer.
        in_conflict = self._poller is not None and self._poller.in_conflict
        return self.silence() > STALLED_SECONDS and not in_conflict

    async def problem(self) -> str:
        """Why it does not do its work, "" while it does, or stands by."""
        if self._lease.held_since is None:
            # Updates are brought to whoever is ready; who polls fetches them.
            return "" if self._poller is not None else "another bridge does the work"
        if self._poller is not None and self._poller.in_conflict:
            return "another process polls with this bot's token: stop it, or use another bot"
        if self._poller is not None and self._poller.polled_at is None:
            return "Telegram has not answered yet"
        try:
            await self._store.ping()
        except RedisError as error:
            return f"Redis: {type(error).__name__}"
        return ""


def create_app(health: Health) -> FastAPI:
    """Return the probes' application."""
    app = FastAPI(title="agentsession-bridge", openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        body = {"secondsSincePoll": round(health.silence(), 1)}
        return JSONResponse(body, 503 if health.stalled() else 200)

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        problem = await health.problem()
        return JSONResponse({"problem": problem}, 503 if problem else 200)

    return app
