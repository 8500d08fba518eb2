"""Projects."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, StringConstraints
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from orchestrator_api import deployments, forms, projects
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Answer, Call, gate
from orchestrator_api.paging import LIMIT, Cursor, Limit
from orchestrator_api.rights import Approval, Operation
from orchestrator_api.routes.common import DryRun, ProjectId, problems
from orchestrator_api.routes.deployments import DeploymentView
from orchestrator_api.routes.deployments import view_of as deployment_view
from orchestrator_api.routes.tasks import TaskView
from orchestrator_api.routes.tasks import view_of as task_view
from orchestrator_api.tables import NAME_LENGTH, Allocation, Incident, Secret, Task
from orchestrator_api.views import Page, ProjectName, Text, Time, UserId, View, Wish

router: Final = APIRouter(prefix="/v1/projects", tags=["projects"])
LIST: Final = gate(Operation("project.list", Scope.READ))
GET: Final = gate(Operation("project.get", Scope.READ))
STATUS: Final = gate(Operation("project.status", Scope.READ))
CREATE: Final = gate(Operation("project.create", Scope.WRITE))
UPDATE: Final = gate(Operation("project.update", Scope.WRITE))
DELETE: Final = gate(Operation("project.delete", Scope.WRITE, Approval.ALWAYS))

RepositoryUrl = Annotated[
    str,
    StringConstraints(max_length=2048, pattern=forms.REPOSITORY),
]
OfName = Annotated[
    str | None,
    Query(
        max_length=NAME_LENGTH, description="Only the project of that name.", examples=["todo-app"]
    ),
]
_EXAMPLE: Final[dict[str, Any]] = {
    "name": "todo-app",
    "description": "Lists of things to do",
    "repository_url": "https://git.example.com/ada/todo-app",
}


class NewProject(Wish):
    """A project to make."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: ProjectName
    description: Text = ""
    repository_url: RepositoryUrl = ""


class ProjectChange(Wish):
    """What is to be changed; what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"description": "Lists of things to do, shared"}]}
    )

    name: ProjectName | None = None
    description: Text | None = None
    repository_url: RepositoryUrl | None = None


class ProjectView(View):
    """A project."""

    id: int
    name: str
    description: str
    repository_url: str
    user_id: UserId
    status: str
    summary: str = Field(description="What an agent wrote when it finished last.")
    created_at: Time
    updated_at: Time


class ProjectStatusView(View):
    """Where a project stands. What it has none of is null or zero, never guessed."""

    project: ProjectView
    status: str
    deployment: DeploymentView | None
    unfinished_tasks: list[TaskView]
    secrets: int
    ports: int
    open_incidents: int


@router.get("", response_model=Page[ProjectView], responses=problems())
async def list_projects(
    call: Call = LIST, limit: Limit = LIMIT, cursor: Cursor = None, name: OfName = None
) -> Response:
    """The user's projects, oldest first; with `name` the one of that name."""
    async with call.reading() as session:
        rows, following = await projects.listed(session, call.caller.user, limit, cursor, name=name)
    return call.shown(
        Page[ProjectView](
            items=[ProjectView.model_validate(row) for row in rows], next_cursor=following
        )
    )


@router.post("", status_code=201, response_model=ProjectView, responses=problems(409))
async def create_project(
    wish: NewProject, call: Call = CREATE, dry_run: DryRun = False
) -> Response:
    """Makes a project."""

    async def work(session: AsyncSession) -> Answer:
        row = await projects.create(
            session,
            call.caller.user,
            call.now,
            name=wish.name,
            description=wish.description,
            repository_url=wish.repository_url,
        )
        return Answer(
            ProjectView.model_validate(row),
            f"project/{row.id}",
            201,
            row.version,
            {"name": row.name},
        )

    return await call.change(work)


@router.get("/{project_id}", response_model=ProjectView, responses=problems(404))
async def get_project(project_id: ProjectId, call: Call = GET) -> Response:
    """A project."""
    async with call.reading() as session:
        row = await projects.owned(session, call.caller.user, project_id)
    return call.shown(ProjectView.model_validate(row), row.version)


@router.get("/{project_id}/status", response_model=ProjectStatusView, responses=problems(404))
async def project_status(project_id: ProjectId, call: Call = STATUS) -> Response:
    """Where a project stands."""
    async with call.reading() as session:
        row = await projects.owned(session, call.caller.user, project_id)
        newest = await deployments.listed(session, project_id, 1)
        unfinished = (
            await session.scalars(
                select(Task)
                .where(Task.project_id == project_id, Task.finished_at.is_(None))
                .order_by(Task.number)
            )
        ).all()
        counts = [
            await session.scalar(select(func.count()).select_from(table).where(*conditions))
            for table, *conditions in (
                (Secret, Secret.project_id == project_id),
                (Allocation, Allocation.project_id == project_id),
                (Incident, Incident.project_id == project_id, Incident.resolved_at.is_(None)),
            )
        ]
    return call.shown(
        ProjectStatusView(
            project=ProjectView.model_validate(row),
            status=row.status,
            deployment=deployment_view(*newest[0]) if newest else None,
            unfinished_tasks=[task_view(task) for task in unfinished],
            secrets=counts[0] or 0,
            ports=counts[1] or 0,
            open_incidents=counts[2] or 0,
        )
    )


@router.patch("/{project_id}", response_model=ProjectView, responses=problems(404, 409, 412))
async def update_project(
    project_id: ProjectId, wish: ProjectChange, call: Call = UPDATE, dry_run: DryRun = False
) -> Response:
    """Changes a project; with If-Match only the version that the caller has seen."""

    async def work(session: AsyncSession) -> Answer:
        row = await projects.owned(session, call.caller.user, project_id, lock=True)
        call.require_version(row.version)
        changes = wish.model_dump(exclude_none=True)
        await projects.update(session, row, call.now, changes)
        return Answer(
            ProjectView.model_validate(row),
            f"project/{row.id}",
            etag=row.version,
            detail={"changed": sorted(changes)},
        )

    return await call.change(work)


@router.delete("/{project_id}", status_code=204, responses=problems(404, 409, 412))
async def delete_project(
    project_id: ProjectId, call: Call = DELETE, dry_run: DryRun = False
) -> Response:
    """Deletes a project with everything that belongs to it. An agent's person must agree first."""

    async def work(session: AsyncSession) -> Answer:
        row = await projects.owned(session, call.caller.user, project_id, lock=True)
        call.require_version(row.version)
        await projects.require_idle(session, row)
        await call.approve(session, f"delete project {row.name} ({row.id}) with all that it has")
        await projects.delete(session, row)
        return Answer(None, f"project/{row.id}", detail={"name": row.name})

    return await call.change(work)
