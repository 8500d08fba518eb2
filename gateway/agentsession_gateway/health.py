"""Liveness and readiness."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agentsession_core.cluster import ClusterUnavailableError
from agentsession_gateway.deps import Deps

CHECK_SECONDS: Final = 2.0
_log = structlog.get_logger(__name__)


class HealthApi:
    """Handlers of `/healthz` and `/readyz`."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def live(self, _request: Request) -> Response:
        """The event loop runs and hears of what happens; 503 has kubelet start the process anew."""
        if self._deps.hub.deaf:
            return JSONResponse({"status": "deaf: the hints of Redis are no longer followed"}, 503)
        return JSONResponse({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """200 when Redis and the API server answer, else 503 with what does not."""
        redis, cluster = await asyncio.gather(self._redis(), self._cluster())
        failed = {k: v for k, v in (("redis", redis), ("kubernetes", cluster)) if v is not None}
        if failed:
            _log.warning("not_ready", **failed)
            return JSONResponse({"status": "unavailable", "failed": failed}, 503)
        return JSONResponse({"status": "ok"})

    async def _redis(self) -> str | None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self._deps.store.ping()
        except (RedisError, OSError, TimeoutError) as error:
            return type(error).__name__
        return None

    async def _cluster(self) -> str | None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self._deps.cluster.ping()
        except (ClusterUnavailableError, TimeoutError) as error:
            return str(error) or type(error).__name__
        return None
