"""Logs of what is the user's own: deployments and sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from agentsession_core.naming import IDENTIFIER_PATTERN
from agentsession_core.problems import ProblemError
from orchestrator_api import deployments, sessionlog, tasks
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Call, gate
from orchestrator_api.paging import Limit
from orchestrator_api.rights import Operation
from orchestrator_api.routes.common import OfProject, problems
from orchestrator_api.sessionlog import Line
from orchestrator_api.tables import Allocation, Project, Task
from orchestrator_api.views import Page, Time, View

router: Final = APIRouter(prefix="/v1/logs", tags=["diagnosis"])
LOGS: Final = gate(Operation("logs", Scope.READ))
# The caller's own session, whatever its mailbox is called.
OWN: Final = "session"


class LineView(View):
    """One thing that happened."""

    id: str
    at: Time
    kind: str
    message: str


class LogView(Page[LineView]):
    """A log, and what it is of. `standing` says how that is now."""

    of: Literal["deployment", "session"]
    name: str
    project_id: int | None = None
    task_id: str | None = None
    standing: str


@router.get("/{service}", response_model=LogView, responses=problems(404, 409))
async def logs(
    service: Annotated[str, Path(pattern=IDENTIFIER_PATTERN, examples=["web"])],
    call: Call = LOGS,
    limit: Limit = 100,
    project_id: OfProject = None,
) -> Response:
    """The last lines of a service's or a project's newest deployment, or of one of the user's sessions.

    `session` is the caller's own. A deployment's are its worker's; a session's have no words of a chat.
    """
    async with call.reading() as session:
        found = None
        if service != OWN:
            found = await _deployment(session, call.caller.user, service, project_id, limit)
    found = found or await _session(call, service, limit)
    if found is None:
        raise ProblemError(
            404, "service_not_found", "there is no such service, project or session of yours"
        )
    return call.shown(found)


async def _deployment(
    session: AsyncSession, user: str, service: str, project_id: int | None, limit: int
) -> LogView | None:
    project = await _project(session, user, service, project_id)
    if project is None:
        return None
    newest = await deployments.listed(session, project.id, 1)
    if not newest:
        return LogView(
            items=[],
            of="deployment",
            name=project.name,
            project_id=project.id,
            standing="was never deployed",
        )
    task = newest[0][1]
    return LogView(
        items=_views(await _lines(session, task, limit)),
        of="deployment",
        name=project.name,
        project_id=project.id,
        task_id=task.id,
        standing=tasks.standing(task.state, task.worker, cancel_requested=task.cancel_requested),
    )


async def _project(
    session: AsyncSession, user: str, service: str, project_id: int | None
) -> Project | None:
    query = (
        select(Project)
        .outerjoin(Allocation, Allocation.project_id == Project.id)
        .where(Project.user_id == user, or_(Project.name == service, Allocation.service == service))
        .order_by(Project.id)
        .distinct()
    )
    if project_id is not None:
        query = query.where(Project.id == project_id)
    found = (await session.scalars(query)).all()
    if len(found) > 1:
        raise ProblemError(
            409,
            "service_ambiguous",
            f"several projects have it: {', '.join(f'{one.name} ({one.id})' for one in found)}; "
            "name one",
            members={"projects": [one.id for one in found]},
        )
    return found[0] if found else None


async def _lines(session: AsyncSession, task: Task, limit: int) -> list[Line]:
    found = await tasks.history(session, task, max(0, task.last_seq - limit), limit)
    return [Line(str(event.seq), event.at, event.kind, event.message) for event in found]


async def _session(call: Call, service: str, limit: int) -> LogView | None:
    store = call.deps.runs
    if store is None:
        return None
    mailbox = call.caller.mailbox if service == OWN else service
    state = await store.state(mailbox)
    # Whose a mailbox is says its session, never its name; a run has shown that its own is.
    own = call.caller.is_run and mailbox == call.caller.mailbox
    if not own and state.user != call.caller.user:
        return None
    found = sessionlog.lines(await store.all_events(mailbox))
    return LogView(
        items=_views(found[-limit:]),
        of="session",
        name=mailbox,
        standing=sessionlog.standing(state),
    )


def _views(found: Sequence[Line]) -> list[LineView]:
    return [LineView.model_validate(line) for line in found]
