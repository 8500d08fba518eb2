"""What has to be looked at from time to time: what is over goes, what a Redis has lost is queued again."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Select, String, delete, literal, select
from sqlalchemy.exc import SQLAlchemyError

from agentsession_core.mailbox.publishing import Publishing
from orchestrator_api import graphs, idempotency, tasks
from orchestrator_api.database import Database
from orchestrator_api.tables import GraphCommand, GraphNode, OutboxEntry, Task

EVERY_SECONDS: Final = 600.0
# Workers that have been away for so long are no news to anybody.
NODES_KEPT: Final = timedelta(days=1)
_SAME: Final = uuid.UUID("5c0a3d52-6b0e-4b57-9a55-0d8a3a3a6f0e")
_log = structlog.get_logger(__name__)
# A task, or a command about one.
Waiting = tuple[str, str]


class Sweeper:
    """Sweeps the database. `committed` is told when something waits in the outbox."""

    def __init__(
        self,
        database: Database,
        publishing: Publishing,
        now: Callable[[], datetime],
        committed: Callable[[], None],
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._database = database
        self._publishing = publishing
        self._now = now
        self._committed = committed
        self._every_seconds = every_seconds

    async def run(self) -> None:
        """Sweeps for ever."""
        while True:
            try:
                await self.forget()
                await self.queue_again()
            except (RedisError, SQLAlchemyError, OSError) as error:
                _log.warning("not_swept", error=type(error).__name__)
            await asyncio.sleep(self._every_seconds)

    async def forget(self) -> None:
        """Removes idempotency keys and nodes that are over."""
        now = self._now()
        async with self._database.writing() as session:
            await idempotency.forget(session, now)
            over = GraphNode.seen_at <= now - NODES_KEPT
            await session.execute(delete(GraphNode).where(over))

    async def queue_again(self) -> list[Waiting]:
        """Queues what waits for a worker and is in no queue any more: Redis has lost it.

        Answers what that was. An entry goes when its task has ended, never before.
        """
        waiting = await self._waiting()
        if not waiting:
            return []
        # After the database: what was in the outbox then is in a queue by now, or still in the outbox.
        queued = await self._queued()
        lost = [one for one in waiting if one not in queued]
        for task, command in lost:
            await self._queue(task, command)
        if lost:
            _log.warning("queued_again", tasks=sorted({task for task, _ in lost}))
            self._committed()
        return lost

    async def _waiting(self) -> list[Waiting]:
        async with self._database.reading() as session:
            found = [
                *(await session.execute(_tasks())).all(),
                *(await session.execute(_commands())).all(),
            ]
            streams = set(tasks.QUEUES.values())
            entries = await session.scalars(
                select(OutboxEntry).where(OutboxEntry.stream.in_(streams))
            )
            unpublished = {_of(entry.fields) for entry in entries}
        return [(task, command) for task, command in found if (task, command) not in unpublished]

    async def _queued(self) -> set[Waiting]:
        return {
            _of(fields)
            for stream in sorted(set(tasks.QUEUES.values()))
            async for fields in self._publishing.entries(stream)
        }

    async def _queue(self, task: str, command: str) -> None:
        async with self._database.writing() as session:
            row = await tasks.taken(session, task)
            asked = await session.scalar(select(GraphCommand).where(GraphCommand.id == command))
            if (asked.state if asked else row.state) != tasks.QUEUED:
                return
            tasks.enqueue(
                session,
                row,
                self._now(),
                request_id=row.request_id,
                command=graphs.fields_of(asked) if asked else None,
                # Two replicas that sweep at once queue it once.
                key=str(uuid.uuid5(_SAME, f"{task}/{command}/{row.last_seq}")),
            )


def _tasks() -> Select[str, str]:
    none = literal("", String)
    return select(Task.id, none).where(Task.state == tasks.QUEUED).order_by(Task.number)


def _commands() -> Select[str, str]:
    return (
        select(Task.id, GraphCommand.id)
        .join(Task, Task.number == GraphCommand.task_number)
        .where(GraphCommand.state == graphs.QUEUED)
        .order_by(GraphCommand.number)
    )


def _of(fields: dict[str, str]) -> Waiting:
    return fields.get("task_id", ""), fields.get("command_id", "")
