"""What is over goes after its days: tasks, incidents, summaries, approvals, last the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from redis.exceptions import RedisError
from sqlalchemy import ColumnElement, Select, delete, literal, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute, aliased

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.publishing import Publishing
from agentsession_core.settings import RetentionSettings
from orchestrator_api import graphs
from orchestrator_api.database import Database
from orchestrator_api.tables import (
    Approval,
    AuditEntry,
    Deployment,
    GraphCommand,
    Incident,
    Summary,
    Table,
    Task,
)

EVERY_SECONDS: Final = 3600.0
# Of one transaction: SQLite's only writer must not be held for long. A task goes with all its events.
ROWS: Final = 500
TASKS: Final = 50
# The newest deployments of each outcome are what a project is rolled back to, and what its status says.
DEPLOYMENTS_KEPT: Final = 2
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Rows:
    """Rows that are over since the time in `since`; where that is null they are not."""

    table: type[Table]
    key: InstrumentedAttribute[Any]
    since: InstrumentedAttribute[Any]


_ROWS: Final = {
    "incidents": _Rows(Incident, Incident.id, Incident.resolved_at),
    "summaries": _Rows(Summary, Summary.id, Summary.created_at),
    "approvals": _Rows(Approval, Approval.id, Approval.expires_at),
    "audit": _Rows(AuditEntry, AuditEntry.id, AuditEntry.at),
}


class Retention:
    """Forgets. `forgotten` hears what and how many."""

    def __init__(
        self,
        database: Database,
        publishing: Publishing,
        days: RetentionSettings,
        now: Callable[[], datetime],
        forgotten: Callable[[str, int], None] = lambda _what, _count: None,
    ) -> None:
        self._database = database
        self._publishing = publishing
        self._days = days
        self._now = now
        self._forgotten = forgotten

    async def run(self, every_seconds: float = EVERY_SECONDS) -> None:
        """Forgets for ever."""
        while True:
            try:
                await self.forget()
            except (RedisError, SQLAlchemyError, OSError) as error:
                _log.warning("not_forgotten", error=type(error).__name__)
            await asyncio.sleep(every_seconds)

    async def forget(self) -> None:
        """Removes what was kept for its days. Raises redis.RedisError and SQLAlchemy's errors."""
        for what, rows in _ROWS.items():
            end = self._end(what)
            while end is not None and await self._forget_rows(what, rows, end) == ROWS:
                pass
        end = self._end("tasks")
        while end is not None and await self._forget_tasks(end) == TASKS:
            pass

    def _end(self, what: str) -> datetime | None:
        days: int = getattr(self._days, what)
        return self._now() - timedelta(days=days) if days else None

    async def _forget_rows(self, what: str, rows: _Rows, end: datetime) -> int:
        async with self._database.writing() as session:
            # Another replica does the same: what it has is its to delete.
            old = (
                select(rows.key)
                .where(rows.since <= end)
                .order_by(rows.since)
                .limit(ROWS)
                .with_for_update(skip_locked=True)
            )
            found = (await session.scalars(old)).all()
            await session.execute(delete(rows.table).where(rows.key.in_(found)))
        return self._told(what, found)

    async def _forget_tasks(self, end: datetime) -> int:
        async with self._database.reading() as session:
            found = (await session.execute(_old_tasks(end))).all()
        # First, while no transaction is open: once the task is gone nobody would know of its stream.
        await self._publishing.forget([keys.task_events(task) for _, task in found])
        numbers = [number for number, _ in found]
        async with self._database.writing() as session:
            # An administrator may have asked something of it meanwhile.
            still = _old_tasks(end).where(Task.number.in_(numbers))
            locked = still.with_for_update(skip_locked=True, of=Task)
            gone = [number for number, _ in (await session.execute(locked)).all()]
            await session.execute(delete(Deployment).where(Deployment.task_number.in_(gone)))
            await session.execute(delete(Task).where(Task.number.in_(gone)))
        return self._told("tasks", gone)

    def _told(self, what: str, found: Sequence[object]) -> int:
        if found:
            self._forgotten(what, len(found))
            _log.info("forgotten", what=what, count=len(found))
        return len(found)


def _old_tasks(end: datetime) -> Select[int, str]:
    asked = select(GraphCommand.number).where(
        GraphCommand.task_number == Task.number, GraphCommand.state == graphs.QUEUED
    )
    return (
        select(Task.number, Task.id)
        .where(Task.finished_at <= end, ~asked.exists(), ~_still_needed())
        .order_by(Task.finished_at)
        .limit(TASKS)
    )


def _still_needed() -> ColumnElement[bool]:
    """Whether it is of the newest deployments of its project that came to the same."""
    newer, its_task = aliased(Deployment), aliased(Task)
    enough_newer = (
        select(literal(1))
        .select_from(newer)
        .join(its_task, its_task.number == newer.task_number)
        .where(
            newer.project_id == Deployment.project_id,
            newer.number > Deployment.number,
            its_task.state == Task.state,
        )
        .correlate(Deployment, Task)
        .offset(DEPLOYMENTS_KEPT - 1)
        .limit(1)
        .exists()
    )
    of_task = select(Deployment.id).where(Deployment.task_number == Task.number, ~enough_newer)
    return of_task.correlate(Task).exists()
