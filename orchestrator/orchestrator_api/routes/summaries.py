"""What was done, as whoever did it sums it up: for the session, and for the project."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import ConfigDict, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from orchestrator_api import projects
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Answer, Call, gate
from orchestrator_api.listing import page_of
from orchestrator_api.paging import LIMIT, Cursor, Limit
from orchestrator_api.rights import Operation
from orchestrator_api.routes.common import DryRun, OfProject, ProjectNumber, problems
from orchestrator_api.tables import Summary
from orchestrator_api.views import Page, Time, View, Wish

router: Final = APIRouter(prefix="/v1/summaries", tags=["sessions"])
LIST: Final = gate(Operation("summary.list", Scope.READ))
FINISH: Final = gate(Operation("session.finish", Scope.WRITE))


class NewSummary(Wish):
    """What was done; of which project, where it was of one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "Deployed todo-app 1.4", "project_id": 42}]}
    )

    text: Annotated[str, StringConstraints(min_length=1, max_length=20_000, strip_whitespace=True)]
    project_id: ProjectNumber | None = None


class SummaryView(View):
    """A summary."""

    id: int
    project_id: int | None
    session_uid: str | None = Field(description="Of an agent's session; null where a person wrote.")
    text: str
    written_by: str
    created_at: Time


@router.get("", response_model=Page[SummaryView], responses=problems())
async def list_summaries(
    call: Call = LIST,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    project_id: OfProject = None,
) -> Response:
    """The user's summaries, newest first."""
    query = select(Summary).where(Summary.user_id == call.caller.user)
    if project_id is not None:
        query = query.where(Summary.project_id == project_id)
    async with call.reading() as session:
        rows, following = await page_of(
            session, query, Summary.id, limit=limit, cursor=cursor, newest_first=True
        )
    items = [SummaryView.model_validate(row) for (row,) in rows]
    return call.shown(Page[SummaryView](items=items, next_cursor=following))


@router.post("", status_code=201, response_model=SummaryView, responses=problems(404))
async def finish(wish: NewSummary, call: Call = FINISH, dry_run: DryRun = False) -> Response:
    """Keeps a summary with the caller's session, and as the project's newest."""

    async def work(session: AsyncSession) -> Answer:
        if wish.project_id is not None:
            project = await projects.owned(session, call.caller.user, wish.project_id, lock=True)
            await projects.update(session, project, call.now, {"summary": wish.text})
        row = Summary(
            user_id=call.caller.user,
            mailbox=call.caller.mailbox,
            session_uid=call.caller.session_uid,
            project_id=wish.project_id,
            text=wish.text,
            written_by=call.caller.actor,
            created_at=call.now,
        )
        session.add(row)
        await session.flush()
        return Answer(SummaryView.model_validate(row), f"summary/{row.id}", 201)

    return await call.change(work)
