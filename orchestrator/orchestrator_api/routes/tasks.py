"""Engineering tasks, and what happens to any task."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from agentsession_core.mailbox import keys
from orchestrator_api import deployments, forms, graphs, projects, tasks
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Answer, Call, gate
from orchestrator_api.listing import page_of
from orchestrator_api.paging import LIMIT, Cursor, Limit
from orchestrator_api.rights import Operation
from orchestrator_api.routes.common import DryRun, OfProject, ProjectNumber, problems
from orchestrator_api.tables import Task
from orchestrator_api.views import Page, Time, View, Wish

router: Final = APIRouter(prefix="/v1/tasks", tags=["tasks"])
LIST: Final = gate(Operation("task.list", Scope.READ))
GET: Final = gate(Operation("task.get", Scope.READ))
EVENTS: Final = gate(Operation("task.events", Scope.READ))
CREATE: Final = gate(Operation("task.create", Scope.WRITE))
CANCEL: Final = gate(Operation("task.cancel", Scope.WRITE))
TaskId = Annotated[str, Path(pattern=forms.TASK, examples=["deploy-0123456789ab"])]
LONGEST_WAIT_SECONDS: Final = 25
EVENTS_AT_ONCE: Final = 500


class NewTask(Wish):
    """Work for the engineers. An analysis needs no project."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"kind": "engineering", "project_id": 42, "request": "Add a list of what is done"}
            ]
        }
    )

    kind: Literal["engineering", "analysis"]
    request: Annotated[str, Field(min_length=1, max_length=20_000)]
    project_id: ProjectNumber | None = None


class TaskView(View):
    """A task. `standing` says in words what is known of it, and no more."""

    id: str
    kind: str
    project_id: int | None
    request: str
    state: str
    standing: str
    worker: str | None = Field(description="Who has taken it; null until somebody has.")
    cancel_requested: bool
    result: dict[str, Any]
    last_seq: int
    created_at: Time
    started_at: Time | None
    finished_at: Time | None


class EventView(View):
    """Something that happened to a task."""

    seq: int
    at: Time
    kind: str
    message: str


class EventPage(View):
    """Events in order. `ended`: nothing comes after them."""

    items: list[EventView]
    state: str
    ended: bool


def view_of(row: Task) -> TaskView:
    """The task as callers see it."""
    return TaskView(
        id=row.id,
        kind=row.kind,
        project_id=row.project_id,
        request=row.request,
        state=row.state,
        standing=tasks.standing(row.state, row.worker, cancel_requested=row.cancel_requested),
        worker=row.worker or None,
        cancel_requested=row.cancel_requested,
        result=row.result,
        last_seq=row.last_seq,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


@router.get("", response_model=Page[TaskView], responses=problems())
async def list_tasks(
    call: Call = LIST,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    kind: Literal["engineering", "analysis", "deploy"] | None = None,
    project_id: OfProject = None,
) -> Response:
    """The user's tasks, newest first."""
    query = select(Task).where(Task.user_id == call.caller.user)
    if kind is not None:
        query = query.where(Task.kind == kind)
    if project_id is not None:
        query = query.where(Task.project_id == project_id)
    async with call.reading() as session:
        rows, following = await page_of(
            session, query, Task.number, limit=limit, cursor=cursor, newest_first=True
        )
    return call.shown(
        Page[TaskView](items=[view_of(row) for (row,) in rows], next_cursor=following)
    )


@router.post("", status_code=201, response_model=TaskView, responses=problems(404, 409))
async def create_task(wish: NewTask, call: Call = CREATE, dry_run: DryRun = False) -> Response:
    """Queues a task. That it is queued does not say that anybody works on it."""

    async def work(session: AsyncSession) -> Answer:
        if wish.project_id is not None:
            await projects.owned(session, call.caller.user, wish.project_id)
        row = await tasks.create(
            session,
            call.caller,
            call.now,
            kind=wish.kind,
            short_id=call.deps.new_id(),
            project_id=wish.project_id,
            request=wish.request,
            request_id=call.request_id,
        )
        return Answer(view_of(row), f"task/{row.id}", 201)

    return await call.change(work)


@router.get("/{task_id}", response_model=TaskView, responses=problems(404))
async def get_task(task_id: TaskId, call: Call = GET) -> Response:
    """A task."""
    async with call.reading() as session:
        row = await tasks.owned(session, call.caller.user, task_id)
    return call.shown(view_of(row), row.last_seq)


@router.get("/{task_id}/events", response_model=EventPage, responses=problems(404))
async def task_events(
    task_id: TaskId,
    call: Call = EVENTS,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    wait: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT_SECONDS, description="Seconds to wait for the first.")
    ] = 0,
) -> Response:
    """What happened to a task after event number `after`; where too many wait, it waits for none."""
    with call.deps.followers.place(call.caller.user) as may_wait:
        page = await _next_page(call, task_id, after, wait if may_wait else 0)
    return call.shown(page)


async def _next_page(call: Call, task_id: str, after: int, wait: float) -> EventPage:
    stream, streams = keys.task_events(task_id), call.deps.streams
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    while True:
        left = deadline - loop.time()
        newest = await streams.newest(stream) if streams and left > 0 else ""
        page = await _page(call, task_id, after)
        if page.items or page.ended or streams is None or left <= 0:
            return page
        # Blocked in Redis, with no transaction open: a follower costs a connection and nothing else.
        # What comes may be an event that the follower has: the stream is behind the table.
        if not await call.deps.followers.wait(streams.wait(stream, newest, left)):
            return page


async def _page(call: Call, task_id: str, after: int) -> EventPage:
    async with call.reading() as session:
        row = await tasks.owned(session, call.caller.user, task_id)
        found = await tasks.history(session, row, after, EVENTS_AT_ONCE)
    seen = found[-1].seq if found else after
    return EventPage(
        items=[EventView.model_validate(event) for event in found],
        state=row.state,
        ended=row.state in tasks.ENDED and seen >= row.last_seq,
    )


@router.post("/{task_id}/cancel", response_model=TaskView, responses=problems(404, 409))
async def cancel_task(task_id: TaskId, call: Call = CANCEL, dry_run: DryRun = False) -> Response:
    """Ends a queued task, and one whose worker is gone; asks the worker of a running one to stop."""

    async def work(session: AsyncSession) -> Answer:
        row = await tasks.owned(session, call.caller.user, task_id, lock=True)
        if row.state == tasks.QUEUED:
            await _end(session, row, call, "cancelled before it began")
        elif row.state in tasks.BEGUN and await graphs.gone(session, row.worker, call.now):
            # Nobody is there to stop, and what is not ended keeps its project from everything.
            await _end(
                session, row, call, f"cancelled: worker {row.worker} has not reported lately"
            )
        elif row.state in tasks.BEGUN and not row.cancel_requested:
            row.cancel_requested = True
            tasks.note(session, row, call.now, "cancel", "the worker was asked to stop")
        await session.flush()
        return Answer(view_of(row), f"task/{row.id}")

    return await call.change(work)


async def _end(session: AsyncSession, row: Task, call: Call, why: str) -> None:
    tasks.move(row, tasks.CANCELLED, call.now)
    tasks.note(session, row, call.now, tasks.CANCELLED, why)
    await deployments.follow(session, row, call.now)
