"""Liveness and readiness."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from fastapi import APIRouter
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse, Response

from orchestrator_api.deps import Deps
from orchestrator_api.migrating import outdated

CHECK_SECONDS: Final = 2.0
LIVE: Final = "/healthz"
READY: Final = "/readyz"
_log = structlog.get_logger(__name__)


def health_router(deps: Deps) -> APIRouter:
    """`/healthz` and `/readyz`, for probes: not of the API and without callers."""
    router = APIRouter(include_in_schema=False)

    @router.get(LIVE)
    async def live() -> Response:
        return JSONResponse({"status": "ok"})

    @router.get(READY)
    async def ready() -> Response:
        failed = await database_trouble(deps)
        if failed is not None:
            _log.warning("not_ready", database=failed)
            return JSONResponse({"status": "unavailable", "failed": {"database": failed}}, 503)
        return JSONResponse({"status": "ok"})

    return router


async def database_trouble(deps: Deps) -> str | None:
    """What keeps the database from being used, or None."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await outdated(deps.database)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        return away(error)


def away(error: Exception) -> str:
    """What is said of a part that could not be asked: the kind of error, never its words."""
    return f"cannot be used now ({type(error).__name__})"
