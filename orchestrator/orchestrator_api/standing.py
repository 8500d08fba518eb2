"""What the database holds at a moment, for the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator_api.database import Database
from orchestrator_api.tables import OutboxEntry, Task
from orchestrator_api.tasks import ENDED, UNFINISHED

LOOK_EVERY_SECONDS: Final = 15.0
# There are many of them, and nobody waits for their number.
ENDED_EVERY_SECONDS: Final = 300.0
_log = structlog.get_logger(__name__)
# Numbers by kind and state.
Counts = Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Standing:
    """Numbers of entries and, by kind and state, of tasks; ages in seconds."""

    outbox_entries: int
    outbox_oldest_seconds: float
    tasks: Counts


async def read_standing(database: Database, now: datetime, ended: Counts | None = None) -> Standing:
    """What stands there; ended tasks are counted where `ended` does not say it. Raises SQLAlchemy's
    errors."""
    outbox = select(func.count(), func.min(OutboxEntry.created_at))
    async with database.reading() as session:
        entries, oldest = (await session.execute(outbox)).one()
        unfinished = await _counted(session, UNFINISHED)
        over = await _counted(session, ENDED) if ended is None else ended
    # Written by another replica, whose clock may be ahead.
    age = 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())
    return Standing(entries, age, {**over, **unfinished})


async def watch(
    database: Database,
    now: Callable[[], datetime],
    tell: Callable[[Standing | None], None],
    every_seconds: float = LOOK_EVERY_SECONDS,
    ended_every_seconds: float = ENDED_EVERY_SECONDS,
) -> None:
    """Looks again and again, for ever; `tell` hears None while the database cannot be read.

    Ended tasks are counted every `ended_every_seconds`: between them their number is the one from then.
    """
    ended: Counts | None = None
    counted_at = now()
    while True:
        if now() - counted_at >= timedelta(seconds=ended_every_seconds):
            ended = None
        try:
            if ended is None:
                counted_at = now()
            found = await read_standing(database, now(), ended)
            ended = {of: count for of, count in found.tasks.items() if of[1] in ENDED}
            tell(found)
        except (SQLAlchemyError, OSError) as error:
            _log.warning("standing_unknown", error=type(error).__name__)
            tell(None)
        await asyncio.sleep(every_seconds)


async def _counted(session: AsyncSession, states: Collection[str]) -> Counts:
    query = (
        select(Task.kind, Task.state, func.count())
        .where(Task.state.in_(states))
        .group_by(Task.state, Task.kind)
    )
    return {(kind, state): count for kind, state, count in await session.execute(query)}
