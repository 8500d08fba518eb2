"""Deployments of a project."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from agentsession_core.problems import ProblemError
from orchestrator_api import deployments, forms, projects, tasks
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Answer, Call, gate
from orchestrator_api.deployments import Source
from orchestrator_api.paging import LIMIT, Cursor, Limit, cursor_after, key_of
from orchestrator_api.rights import Approval, Operation
from orchestrator_api.routes.common import DryRun, ProjectId, problems
from orchestrator_api.routes.tasks import EventView
from orchestrator_api.tables import Deployment, Project, Task, TaskEvent
from orchestrator_api.views import Page, Time, View, Wish

router: Final = APIRouter(prefix="/v1/projects/{project_id}/deployments", tags=["deployments"])
LIST: Final = gate(Operation("deploy.list", Scope.READ))
CHECK: Final = gate(Operation("deploy.check", Scope.READ))
LOGS: Final = gate(Operation("deploy.logs", Scope.READ))
TRIGGER: Final = gate(Operation("deploy.trigger", Scope.WRITE, Approval.STRICT))
ROLLBACK: Final = gate(Operation("deploy.rollback", Scope.WRITE, Approval.ALWAYS))
Image = Annotated[str, StringConstraints(max_length=512, pattern=forms.IMAGE)]


class NewDeployment(Wish):
    """What to deploy: an image, else the project's repository."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"image": "registry.example.com/todo-app:1.4"}]}
    )

    image: Image = ""


class DeploymentView(View):
    """A deployment. Its state is its task's: `succeeded` only once a worker has said so."""

    number: int
    project_id: int
    task_id: str
    status: str
    standing: str
    image: str
    repository_url: str = Field(description="Where it is not of an image.")
    revision: str = Field(description="Of the repository: what its worker took; empty before.")
    rollback_of: int | None
    url: str | None
    created_at: Time


class ReadinessView(View):
    """Whether a project can be deployed."""

    ready: bool
    missing: list[str]
    secrets: list[str]
    ports: int
    running_task: str | None


def view_of(row: Deployment, task: Task) -> DeploymentView:
    """The deployment as callers see it."""
    url = task.result.get("url")
    return DeploymentView(
        number=row.number,
        project_id=row.project_id,
        task_id=task.id,
        status=task.state,
        standing=tasks.standing(task.state, task.worker, cancel_requested=task.cancel_requested),
        image=row.image,
        repository_url=row.repository_url,
        revision=row.revision,
        rollback_of=row.rollback_of,
        url=url if isinstance(url, str) else None,
        created_at=row.created_at,
    )


@router.get("", response_model=Page[DeploymentView], responses=problems(404))
async def list_deployments(
    project_id: ProjectId, call: Call = LIST, limit: Limit = LIMIT, cursor: Cursor = None
) -> Response:
    """A project's deployments, newest first."""
    key = key_of(cursor, int)
    async with call.reading() as session:
        await projects.owned(session, call.caller.user, project_id)
        below = int(key[0]) if key else None
        rows = await deployments.listed(session, project_id, limit + 1, below)
    following = cursor_after(rows[limit - 1][0].number) if len(rows) > limit else None
    items = [view_of(row, task) for row, task in rows[:limit]]
    return call.shown(Page[DeploymentView](items=items, next_cursor=following))


@router.get("/check", response_model=ReadinessView, responses=problems(404))
async def check(
    project_id: ProjectId, call: Call = CHECK, image: Annotated[Image, Query()] = ""
) -> Response:
    """Whether the project can be deployed, and what to do where it cannot."""
    async with call.reading() as session:
        project = await projects.owned(session, call.caller.user, project_id)
        found = await deployments.readiness(session, project, image)
    return call.shown(
        ReadinessView(
            ready=not found.missing and found.running is None,
            missing=list(found.missing),
            secrets=list(found.secrets),
            ports=found.ports,
            running_task=found.running,
        )
    )


@router.post("", status_code=201, response_model=DeploymentView, responses=problems(404, 409))
async def trigger(
    project_id: ProjectId, wish: NewDeployment, call: Call = TRIGGER, dry_run: DryRun = False
) -> Response:
    """Queues a deployment."""

    async def work(session: AsyncSession) -> Answer:
        project = await projects.owned(session, call.caller.user, project_id, lock=True)
        found = await deployments.readiness(session, project, wish.image)
        if found.missing:
            raise ProblemError(
                409,
                "not_deployable",
                "the project lacks " + "; ".join(found.missing),
                members={"missing": list(found.missing)},
            )
        source = deployments.source_of(project, wish.image)
        await call.approve(session, f"deploy {source} as project {project.name} ({project.id})")
        return await _queued(call, session, project, source)

    return await call.change(work)


@router.post(
    "/rollback", status_code=201, response_model=DeploymentView, responses=problems(404, 409)
)
async def rollback(
    project_id: ProjectId, call: Call = ROLLBACK, dry_run: DryRun = False
) -> Response:
    """Queues a deployment of what ran before, at its revision. An agent's person must agree first."""

    async def work(session: AsyncSession) -> Answer:
        project = await projects.owned(session, call.caller.user, project_id, lock=True)
        now, earlier, source = await deployments.before(session, project_id)
        await call.approve(
            session,
            f"roll project {project.name} ({project.id}) back from deployment {now} to {earlier} "
            f"({source})",
        )
        return await _queued(call, session, project, source, rollback_of=now)

    return await call.change(work)


async def _queued(
    call: Call,
    session: AsyncSession,
    project: Project,
    source: Source,
    rollback_of: int | None = None,
) -> Answer:
    row, task = await deployments.trigger(
        session,
        call.caller,
        project,
        call.now,
        source=source,
        rollback_of=rollback_of,
        short_id=call.deps.new_id(),
        request_id=call.request_id,
    )
    return Answer(view_of(row, task), f"task/{task.id}", 201)


@router.get("/logs", response_model=Page[EventView], responses=problems(404))
async def logs(project_id: ProjectId, call: Call = LOGS, limit: Limit = 100) -> Response:
    """The last lines that the newest deployment's worker wrote."""
    async with call.reading() as session:
        await projects.owned(session, call.caller.user, project_id)
        newest = await deployments.listed(session, project_id, 1)
        if not newest:
            raise projects.not_found("deployment", f"of project {project_id}")
        query = (
            select(TaskEvent)
            .where(TaskEvent.task_number == newest[0][1].number)
            .order_by(TaskEvent.seq.desc())
            .limit(limit)
        )
        rows = list((await session.scalars(query)).all())
    return call.shown(
        Page[EventView](items=[EventView.model_validate(row) for row in reversed(rows)])
    )
