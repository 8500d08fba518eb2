"""The audit log, and how the platform is."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter
from redis.exceptions import RedisError
from sqlalchemy import func, select
from starlette.responses import Response

from agentsession_core.mailbox.store import MailboxStore
from orchestrator_api import graphs
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Call, gate
from orchestrator_api.health import CHECK_SECONDS, away, database_trouble
from orchestrator_api.listing import page_of
from orchestrator_api.paging import LIMIT, Cursor, Limit
from orchestrator_api.rights import Operation
from orchestrator_api.routes.common import problems
from orchestrator_api.tables import AuditEntry, OutboxEntry, Task
from orchestrator_api.tasks import QUEUED, RUNNING
from orchestrator_api.views import Page, Time, View

router: Final = APIRouter(prefix="/v1", tags=["platform"])
LIST: Final = gate(Operation("audit.list", Scope.READ))
PARTS: Final = ("operator", "gateway", "bridge")
HEALTH: Final = gate(Operation("health", Scope.READ))


class AuditView(View):
    """Who changed what."""

    id: int
    at: Time
    actor: str
    action: str
    target: str
    request_id: str
    detail: dict[str, Any]


class HealthView(View):
    """What was found just now, by part: `ok`, or what is known of it in words."""

    parts: dict[str, str]
    outbox: int
    queued_tasks: int
    running_tasks: int


@router.get("/audit", response_model=Page[AuditView], responses=problems())
async def audit_log(call: Call = LIST, limit: Limit = LIMIT, cursor: Cursor = None) -> Response:
    """What was changed for the user and by whom, newest first."""
    query = select(AuditEntry).where(AuditEntry.user_id == call.caller.user)
    async with call.reading() as session:
        rows, following = await page_of(
            session, query, AuditEntry.id, limit=limit, cursor=cursor, newest_first=True
        )
    items = [AuditView.model_validate(row) for (row,) in rows]
    return call.shown(Page[AuditView](items=items, next_cursor=following))


@router.get("/health", response_model=HealthView, responses=problems())
async def health(call: Call = HEALTH) -> Response:
    """How the platform's parts are, what waits to be published, and what tasks of the user's wait."""
    mine = select(func.count()).select_from(Task).where(Task.user_id == call.caller.user)
    async with call.reading() as session:
        outbox = await session.scalar(select(func.count()).select_from(OutboxEntry))
        queued = await session.scalar(mine.where(Task.state == QUEUED))
        running = await session.scalar(mine.where(Task.state == RUNNING))
        nodes = await graphs.reported(session)
    parts = {
        "database": await database_trouble(call.deps) or "ok",
        **await _by_redis(call.deps.runs),
        **graphs.presences(nodes, call.now),
    }
    return call.shown(
        HealthView(
            parts=parts,
            outbox=outbox or 0,
            queued_tasks=queued or 0,
            running_tasks=running or 0,
        )
    )


async def _by_redis(runs: MailboxStore | None) -> dict[str, str]:
    """Redis, and the parts that work with it: each is connected or does nothing."""
    if runs is None:
        return {"redis": "not looked at by this process"}
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            there = await runs.connected()
    except (RedisError, OSError, TimeoutError) as error:
        return {"redis": away(error), **dict.fromkeys(PARTS, "not known without Redis")}
    return {"redis": "ok", **{part: _word(connected=part in there) for part in PARTS}}


def _word(*, connected: bool) -> str:
    return "ok" if connected else "not connected to Redis: down, or not installed"
