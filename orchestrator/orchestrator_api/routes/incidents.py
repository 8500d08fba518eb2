"""Incidents: what a person has to look at."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path
from pydantic import ConfigDict, StringConstraints
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from orchestrator_api import projects, quotas
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Answer, Call, gate
from orchestrator_api.listing import page_of
from orchestrator_api.paging import LIMIT, Cursor, Limit
from orchestrator_api.rights import Operation
from orchestrator_api.routes.common import DryRun, ProjectNumber, problems
from orchestrator_api.tables import Incident
from orchestrator_api.telling import Way, ear_of, tell
from orchestrator_api.views import Page, Text, Time, View, Wish

router: Final = APIRouter(prefix="/v1/incidents", tags=["incidents"])
LIST: Final = gate(Operation("incident.list", Scope.READ))
GET: Final = gate(Operation("incident.get", Scope.READ))
OPEN: Final = gate(Operation("incident.open", Scope.WRITE))
# An agent that could close what it opened could hide it.
RESOLVE: Final = gate(Operation("incident.resolve", Scope.WRITE, runs=False))
# A caller that opens one after the other is not heard more often.
TOLD_AN_HOUR: Final = 5
WORDS: Final = 1500
IncidentId = Annotated[int, Path(ge=1, le=2**53, examples=[1])]
Title = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


class NewIncident(Wish):
    """Something that a person has to look at."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"title": "todo-app does not start", "project_id": 42}]}
    )

    title: Title
    description: Text = ""
    project_id: ProjectNumber | None = None


class IncidentView(View):
    """An incident."""

    id: int
    project_id: int | None
    title: str
    description: str
    state: str
    opened_by: str
    created_at: Time
    resolved_at: Time | None


class OpenedView(IncidentView):
    """An incident that was just opened, and how the person was told of it: null where they were not."""

    notified: Way | None


@router.get("", response_model=Page[IncidentView], responses=problems())
async def list_incidents(
    call: Call = LIST,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    state: Literal["open", "resolved"] | None = None,
) -> Response:
    """The user's incidents, newest first."""
    query = select(Incident).where(Incident.user_id == call.caller.user)
    if state is not None:
        query = query.where(Incident.state == state)
    async with call.reading() as session:
        rows, following = await page_of(
            session, query, Incident.id, limit=limit, cursor=cursor, newest_first=True
        )
    items = [IncidentView.model_validate(row) for (row,) in rows]
    return call.shown(Page[IncidentView](items=items, next_cursor=following))


@router.post("", status_code=201, response_model=OpenedView, responses=problems(404, 409))
async def open_incident(wish: NewIncident, call: Call = OPEN, dry_run: DryRun = False) -> Response:
    """Opens an incident, and tells the person: in the chat, or who follows the session at a terminal."""
    ear = await ear_of(call.deps.runs, call.caller)

    async def work(session: AsyncSession) -> Answer:
        if wish.project_id is not None:
            await projects.owned(session, call.caller.user, wish.project_id)
        await quotas.require_room(session, call.caller.user, quotas.INCIDENTS)
        row = Incident(
            user_id=call.caller.user,
            project_id=wish.project_id,
            title=wish.title,
            description=wish.description,
            state="open",
            opened_by=call.caller.actor,
            created_at=call.now,
        )
        told = ear if await _recent(session, call) < TOLD_AN_HOUR else None
        session.add(row)
        await session.flush()
        if told is not None:
            tell(session, told, call.now, f"incident.{row.id}", _words(row))
        opened = IncidentView.model_validate(row).model_dump()
        view = OpenedView(**opened, notified=told.way if told else None)
        return Answer(view, f"incident/{row.id}", 201)

    return await call.change(work)


@router.get("/{incident_id}", response_model=IncidentView, responses=problems(404))
async def get_incident(incident_id: IncidentId, call: Call = GET) -> Response:
    """An incident."""
    async with call.reading() as session:
        row = await _owned(session, call, incident_id)
    return call.shown(IncidentView.model_validate(row))


@router.post("/{incident_id}/resolve", response_model=IncidentView, responses=problems(404))
async def resolve_incident(
    incident_id: IncidentId, call: Call = RESOLVE, dry_run: DryRun = False
) -> Response:
    """Says that nobody has to look at it any more."""

    async def work(session: AsyncSession) -> Answer:
        row = await _owned(session, call, incident_id)
        if row.resolved_at is None:
            row.state, row.resolved_at = "resolved", call.now
        return Answer(IncidentView.model_validate(row), f"incident/{row.id}")

    return await call.change(work)


async def _recent(session: AsyncSession, call: Call) -> int:
    query = select(func.count()).where(
        Incident.user_id == call.caller.user, Incident.created_at > call.now - timedelta(hours=1)
    )
    return await session.scalar(query) or 0


def _words(row: Incident) -> str:
    more = f"\n{row.description[:WORDS]}" if row.description else ""
    return f"Somebody has to look at this: {row.title}{more}\n(incident {row.id})"


async def _owned(session: AsyncSession, call: Call, incident_id: int) -> Incident:
    row = await session.get(Incident, incident_id)
    if row is None or row.user_id != call.caller.user:
        raise projects.not_found("incident", incident_id)
    return row
