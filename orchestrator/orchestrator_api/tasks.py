"""Tasks: made and queued in one transaction; what happens to them, in order; how they end.

States: queued → running → succeeded, failed or cancelled; running ⇄ waiting (for a person).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.events import EVENTS_KEPT
from agentsession_core.problems import ProblemError
from orchestrator_api import outbox, quotas
from orchestrator_api.callers import Caller
from orchestrator_api.projects import not_found
from orchestrator_api.tables import Task, TaskEvent

ENGINEERING: Final = "engineering"
ANALYSIS: Final = "analysis"
DEPLOY: Final = "deploy"
QUEUES: Final = {
    ENGINEERING: keys.ENGINEERING_QUEUE,
    ANALYSIS: keys.ENGINEERING_QUEUE,
    DEPLOY: keys.DEPLOY_QUEUE,
}
QUEUED: Final = "queued"
RUNNING: Final = "running"
WAITING: Final = "waiting"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
BEGUN: Final = frozenset({RUNNING, WAITING})
UNFINISHED: Final = BEGUN | {QUEUED}
ENDED: Final = frozenset({SUCCEEDED, FAILED, CANCELLED})
_NEXT: Final = {
    QUEUED: frozenset({RUNNING, CANCELLED}),
    RUNNING: frozenset({RUNNING, WAITING, *ENDED}),
    WAITING: frozenset({WAITING, RUNNING, *ENDED}),
}


def standing(state: str, worker: str, *, cancel_requested: bool) -> str:
    """What people are told of a task's state: never more than is known."""
    if state == QUEUED:
        return "waits in its queue: no worker has taken it yet"
    if state in ENDED:
        return f"{state} (worker {worker})" if worker else f"{state} before a worker took it"
    asked = "; it was asked to stop" if cancel_requested else ""
    return f"{state}, worker {worker}{asked}"


async def create(
    session: AsyncSession,
    caller: Caller,
    now: datetime,
    *,
    kind: str,
    short_id: str,
    project_id: int | None,
    request: str,
    request_id: str,
) -> Task:
    """A queued task; its queue's entry goes out with the transaction.

    Raises ProblemError 409 where the user has too many.
    """
    await quotas.require_room(session, caller.user, quotas.TASKS)
    row = Task(
        id=f"{kind}-{short_id}",
        kind=kind,
        user_id=caller.user,
        project_id=project_id,
        request=request,
        state=QUEUED,
        worker="",
        cancel_requested=False,
        result={},
        request_id=request_id,
        callback_stream=keys.MailboxKeys(caller.mailbox).events,
        last_seq=0,
        created_at=now,
    )
    session.add(row)
    await session.flush()
    enqueue(session, row, now, request_id=request_id)
    note(session, row, now, QUEUED, "queued")
    return row


def enqueue(
    session: AsyncSession,
    row: Task,
    now: datetime,
    *,
    request_id: str,
    command: Mapping[str, str] | None = None,
    key: str | None = None,
) -> None:
    """An entry for the task's queue; with `command` it is an administrator's, about the task.

    Entries of the same `key` are published once.
    """
    outbox.put(
        session,
        now,
        QUEUES[row.kind],
        {
            "task_id": row.id,
            "project_id": "" if row.project_id is None else str(row.project_id),
            "user_id": row.user_id,
            "request_id": request_id,
            "callback_stream": row.callback_stream,
            **(command or {}),
        },
        key=key,
    )


def reopen(row: Task) -> None:
    """A task that has ended waits for a worker again."""
    row.state, row.worker, row.cancel_requested = QUEUED, "", False
    row.started_at = row.finished_at = None


def note(session: AsyncSession, row: Task, now: datetime, kind: str, message: str) -> TaskEvent:
    """Adds to the task's history, and tells its streams. The row must be locked."""
    row.last_seq += 1
    event = TaskEvent(task_number=row.number, seq=row.last_seq, at=now, kind=kind, message=message)
    session.add(event)
    said: dict[str, Any] = {
        "task": row.id,
        "seq": event.seq,
        "kind": kind,
        "state": row.state,
        "message": message,
    }
    fields = {"task": row.id, "seq": str(event.seq), "kind": kind, "data": json.dumps(said)}
    outbox.put(session, now, keys.task_events(row.id), fields, limit=EVENTS_KEPT)
    if kind != "log":
        # A person follows what a task does, not every line that it prints.
        telling = {"turn": "", "kind": "state", "source": "api", "seq": "0", "data": fields["data"]}
        outbox.put(session, now, row.callback_stream, telling, limit=EVENTS_KEPT)
    return event


def move(row: Task, state: str, now: datetime, worker: str = "") -> None:
    """Brings the task into another state. Raises ProblemError 409 where that cannot follow."""
    if state not in _NEXT.get(row.state, frozenset()):
        raise ProblemError(
            409, "task_state", f"task {row.id} is {row.state}: it cannot become {state}"
        )
    if row.state == QUEUED and state == RUNNING:
        row.started_at = now
    if worker:
        row.worker = worker
    row.state = state
    if state in ENDED:
        row.finished_at = now


async def owned(session: AsyncSession, user: str, task_id: str, *, lock: bool = False) -> Task:
    """The user's task. Raises ProblemError 404."""
    query = select(Task).where(Task.id == task_id, Task.user_id == user)
    row = await session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise not_found("task", task_id)
    return row


async def taken(session: AsyncSession, task_id: str) -> Task:
    """Anybody's task, locked: for workers. Raises ProblemError 404."""
    row = await session.scalar(select(Task).where(Task.id == task_id).with_for_update())
    if row is None:
        raise ProblemError(404, "task_not_found", f"there is no task {task_id}")
    return row


async def history(session: AsyncSession, row: Task, after: int, limit: int) -> list[TaskEvent]:
    """The task's events after that number, in order."""
    query = (
        select(TaskEvent)
        .where(TaskEvent.task_number == row.number, TaskEvent.seq > after)
        .order_by(TaskEvent.seq)
        .limit(limit)
    )
    return list((await session.scalars(query)).all())
