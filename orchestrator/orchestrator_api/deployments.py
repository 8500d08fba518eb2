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


@dataclass(frozen=True)
class Source:
    """What is deployed: an image, else a repository, at a revision where one is known."""

    image: str = ""
    repository_url: str = ""
    revision: str = ""

    def __str__(self) -> str:
        at = f" at {self.revision}" if self.revision else ""
        return self.image or f"{self.repository_url}{at}"


def source_of(project: Project, image: str) -> Source:
    """That image, else the project's repository as it is."""
    return Source(image) if image else Source(repository_url=project.repository_url)


async def trigger(
    session: AsyncSession,
    caller: Caller,
    project: Project,
    now: datetime,
    *,
    source: Source,
    rollback_of: int | None,
    short_id: str,
    request_id: str,
) -> tuple[Deployment, Task]:
    """Queues a deployment. The project must be locked. Raises ProblemError 409 while one is going on."""
    await require_none_running(session, project.id)
    task = await tasks.create(
        session,
        caller,
        now,
        kind=tasks.DEPLOY,
        short_id=short_id,
        project_id=project.id,
        request=f"roll back deployment {rollback_of} to {source}"
        if rollback_of
        else f"deploy {source}",
        request_id=request_id,
    )
    newest = await session.scalar(
        select(func.max(Deployment.number)).where(Deployment.project_id == project.id)
    )
    row = Deployment(
        project_id=project.id,
        number=(newest or 0) + 1,
        task_number=task.number,
        image=source.image,
        repository_url=source.repository_url,
        revision=source.revision,
        rollback_of=rollback_of,
        created_at=now,
    )
    session.add(row)
    await session.flush()
    return row, task


async def made_of(session: AsyncSession, task: Task, revision: str) -> None:
    """Keeps the repository's revision that a worker says it deploys.

    Raises ProblemError 409 where the task is no deployment of a repository.
    """
    row = await session.scalar(select(Deployment).where(Deployment.task_number == task.number))
    if row is None or row.image:
        raise ProblemError(
            409, "no_revision", f"task {task.id} deploys no repository: it has no revision"
        )
    row.revision = revision


async def before(session: AsyncSession, project_id: int) -> tuple[int, int, Source]:
    """The numbers of what runs now and of what ran before it, and what that was made of.

    Raises ProblemError 409 where there are no two, or nobody knows what the earlier one was made of.
    """
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
    now, earlier = found
    if not (earlier.image or earlier.revision):
        # The repository as it is today would be something else, and perhaps what is to be undone.
        raise ProblemError(
            409,
            "revision_unknown",
            f"deployment {earlier.number} was made of the repository, and its worker named no revision; "
            "deploy an image, or bring the repository back and deploy it",
        )
    return (
        now.number,
        earlier.number,
        Source(earlier.image, earlier.repository_url, earlier.revision),
    )


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
