"""Deployments: each is a task that a worker carries out, and none is said to run before one did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from agentsession_core.problems import ProblemError
from orchestrator_api import tasks
from orchestrator_api.callers import Caller
from orchestrator_api.projects import CREATED
from orchestrator_api.tables import Allocation, Deployment, Project, Secret, Task

DEVELOPING = "developing"
DEPLOYING = "deploying"
DEPLOYED = "deployed"
FAILED = "failed"


@dataclass(frozen=True)
class Readiness:
    """Whether a project can be deployed; `missing` says what to do about each thing that is not there."""

    missing: tuple[str, ...]
    secrets: tuple[str, ...]
    ports: int
    running: str | None


async def readiness(session: AsyncSession, project: Project, image: str | None) -> Readiness:
    """What a deployment of that image, or else of the repository, would find."""
    secrets = await session.scalars(
        select(Secret.name).where(Secret.project_id == project.id).order_by(Secret.name)
    )
    ports = await session.scalar(
        select(func.count()).select_from(Allocation).where(Allocation.project_id == project.id)
    )
    running = await unfinished(session, project.id)
    # Digits alone, an older project's name, are read as a number.
    called = project.id if project.name.isdigit() else project.name
    missing = []
    if not (image or project.repository_url):
        missing.append(
            f"a source: orchestrator project update {called} --repository-url URL, or name an image"
        )
    if not ports:
        missing.append(f"a port: orchestrator infra allocate {called}")
    return Readiness(tuple(missing), tuple(secrets), ports or 0, running)


async def unfinished(session: AsyncSession, project_id: int) -> str | None:
    """The id of the project's deploy task that has not ended, or None."""
    found: str | None = await session.scalar(
        select(Task.id).where(
            Task.project_id == project_id,
            Task.kind == tasks.DEPLOY,
            Task.state.not_in(tasks.ENDED),
        )
    )
    return found


async def require_none_running(session: AsyncSession, project_id: int) -> None:
    """Raises ProblemError 409 while a deployment of the project is going on."""
    running = await unfinished(session, project_id)
    if running is not None:
        raise ProblemError(
            409,
            "deployment_running",
            f"{running} has not ended; wait for it or cancel it",
            members={"task_id": running},
        )


async def listed(
    session: AsyncSession, project_id: int, limit: int, below: int | None = None
) -> Sequence[tuple[Deployment, Task]]:
    """The project's deployments with their tasks, newest first."""
    query = (
        select(Deployment, Task)
        .join(Task, Task.number == Deployment.task_number)
        .where(Deployment.project_id == project_id)
        .order_by(Deployment.number.desc())
        .limit(limit)
    )
    if below is not None:
        query = query.where(Deployment.number < below)
    return [(row, task) for row, task in (await session.execute(query)).all()]


async def trigger(
    session: AsyncSession,
    caller: Caller,
    project: Project,
    now: datetime,
    *,
    image: str,
    rollback_of: int | None,
    short_id: str,
    request_id: str,
) -> tuple[Deployment, Task]:
    """Queues a deployment. The project must be locked. Raises ProblemError 409 while one is going on."""
    await require_none_running(session, project.id)
    what = image or project.repository_url
    task = await tasks.create(
        session,
        caller,
        now,
        kind=tasks.DEPLOY,
        short_id=short_id,
        project_id=project.id,
        request=f"roll back deployment {rollback_of} to {what}"
        if rollback_of
        else f"deploy {what}",
        request_id=request_id,
    )
    newest = await session.scalar(
        select(func.max(Deployment.number)).where(Deployment.project_id == project.id)
    )
    row = Deployment(
        project_id=project.id,
        number=(newest or 0) + 1,
        task_number=task.number,
        image=image,
        rollback_of=rollback_of,
        created_at=now,
    )
    session.add(row)
    await session.flush()
    return row, task


async def before(session: AsyncSession, project_id: int) -> tuple[Deployment, Deployment]:
    """What runs now and what ran before it. Raises ProblemError 409 where there are no two."""
    query = (
        select(Deployment)
        .join(Task, Task.number == Deployment.task_number)
        .where(Deployment.project_id == project_id, Task.state == tasks.SUCCEEDED)
        .order_by(Deployment.number.desc())
        .limit(2)
    )
    found = (await session.scalars(query)).all()
    if len(found) < 2:
        raise ProblemError(
            409, "nothing_to_roll_back_to", "fewer than two deployments of it have succeeded"
        )
    return found[0], found[1]


async def follow(session: AsyncSession, task: Task, now: datetime) -> None:
    """The project's status follows its tasks: what a worker said, not what was wished for."""
    if task.project_id is None or task.kind == tasks.ANALYSIS:
        return
    project = await session.get(Project, task.project_id, with_for_update=True)
    if project is None:
        return
    status = await _status(session, project.id)
    if status != project.status:
        project.status = status
        project.version += 1
        project.updated_at = now


async def _status(session: AsyncSession, project_id: int) -> str:
    """What goes on; else what came of the newest deployment that a worker has ended."""
    mine = select(Task.kind).where(Task.project_id == project_id)
    going_on = set(await session.scalars(mine.where(Task.state.in_(tasks.BEGUN))))
    if tasks.DEPLOY in going_on:
        return DEPLOYING
    if tasks.ENGINEERING in going_on:
        return DEVELOPING
    newest = await session.scalar(
        select(Task.state)
        .where(
            Task.project_id == project_id,
            Task.kind == tasks.DEPLOY,
            Task.state.in_((tasks.SUCCEEDED, tasks.FAILED)),
        )
        .order_by(Task.number.desc())
        .limit(1)
    )
    return {tasks.SUCCEEDED: DEPLOYED, tasks.FAILED: FAILED}.get(newest or "", CREATED)
