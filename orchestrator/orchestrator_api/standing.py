"""What the database holds at a moment, for the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from orchestrator_api.database import Database
from orchestrator_api.tables import OutboxEntry, Task

LOOK_EVERY_SECONDS: Final = 15.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Standing:
    """Numbers of entries and, by kind and state, of tasks; ages in seconds."""

    outbox_entries: int
    outbox_oldest_seconds: float
    tasks: Mapping[tuple[str, str], int]


async def read_standing(database: Database, now: datetime) -> Standing:
    """What stands there. Raises SQLAlchemy's errors."""
    outbox = select(func.count(), func.min(OutboxEntry.created_at))
    tasks = select(Task.kind, Task.state, func.count()).group_by(Task.kind, Task.state)
    async with database.reading() as session:
        entries, oldest = (await session.execute(outbox)).one()
        counted = {(kind, state): count for kind, state, count in await session.execute(tasks)}
    # Written by another replica, whose clock may be ahead.
    age = 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())
    return Standing(entries, age, counted)


async def watch(
    database: Database,
    now: Callable[[], datetime],
    tell: Callable[[Standing | None], None],
    every_seconds: float = LOOK_EVERY_SECONDS,
) -> None:
    """Looks again and again, for ever; `tell` hears None while the database cannot be read."""
    while True:
        try:
            tell(await read_standing(database, now()))
        except (SQLAlchemyError, OSError) as error:
            _log.warning("standing_unknown", error=type(error).__name__)
            tell(None)
        await asyncio.sleep(every_seconds)
