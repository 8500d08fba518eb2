"""Projects in the database. Every query names the user: nobody's project is found by its number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from agentsession_core.problems import ProblemError
from orchestrator_api import quotas
from orchestrator_api.listing import page_of
from orchestrator_api.tables import Project, Task

CREATED: Final = "created"


def not_found(what: str, which: object) -> ProblemError:
    """What belongs to somebody else is answered like what is not there."""
    return ProblemError(404, f"{what}_not_found", f"there is no {what} {which} of yours")


async def owned(
    session: AsyncSession, user: str, project_id: int, *, lock: bool = False
) -> Project:
    """The user's project; `lock` keeps others from changing it. Raises ProblemError 404."""
    query = select(Project).where(Project.id == project_id, Project.user_id == user)
    row = await session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise not_found("project", project_id)
    return row


async def listed(
    session: AsyncSession, user: str, limit: int, cursor: str | None, *, name: str | None = None
) -> tuple[Sequence[Project], str | None]:
    """A page of the user's projects (of that name, where one is given), and the cursor of the next."""
    query = select(Project).where(Project.user_id == user)
    if name is not None:
        query = query.where(Project.name == name)
    rows, following = await page_of(session, query, Project.id, limit=limit, cursor=cursor)
    return [project for (project,) in rows], following


async def create(
    session: AsyncSession,
    user: str,
    now: datetime,
    *,
    name: str,
    description: str,
    repository_url: str,
) -> Project:
    """A new project. Raises ProblemError 409 where the user has one of that name, or too many."""
    await _require_free(session, user, name)
    await quotas.require_room(session, user, quotas.PROJECTS)
    row = Project(
        user_id=user,
        name=name,
        description=description,
        repository_url=repository_url,
        status=CREATED,
        summary="",
        version=1,
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    await session.flush()
    return row


async def update(
    session: AsyncSession, row: Project, now: datetime, changes: Mapping[str, Any]
) -> None:
    """Changes the project. Raises ProblemError 409 where another has the new name."""
    if changes.get("name", row.name) != row.name:
        await _require_free(session, row.user_id, changes["name"])
    for field, value in changes.items():
        setattr(row, field, value)
    row.version += 1
    row.updated_at = now
    await session.flush()


async def require_idle(session: AsyncSession, row: Project) -> None:
    """Raises ProblemError 409 while a task of the project has not ended."""
    query = select(Task.id).where(Task.project_id == row.id, Task.finished_at.is_(None))
    busy = (await session.scalars(query)).all()
    if busy:
        raise ProblemError(
            409,
            "project_busy",
            f"{', '.join(busy)} has not ended; cancel it first",
            members={"tasks": list(busy)},
        )


async def delete(session: AsyncSession, row: Project) -> None:
    """Deletes the project with everything that belongs to it."""
    await session.delete(row)
    await session.flush()


async def _require_free(session: AsyncSession, user: str, name: str) -> None:
    query = select(Project.id).where(Project.user_id == user, Project.name == name)
    known = await session.scalar(query)
    if known is not None:
        raise ProblemError(
            409,
            "project_exists",
            f"you have a project {name!r} already: {known}",
            members={"project_id": known},
        )
