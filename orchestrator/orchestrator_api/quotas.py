"""How much of what everybody shares one user may have: an agent that runs wild must not have it all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from agentsession_core.problems import ProblemError
from orchestrator_api.tables import Allocation, Article, Incident, Project, Task


@dataclass(frozen=True)
class Quota:
    """At most so many of something; `then` is what to do where there are. `held`: the rows a user has."""

    what: str
    most: int
    then: str
    held: Callable[[str], ColumnElement[bool]]


PROJECTS: Final = Quota("projects", 1000, "delete some", lambda user: Project.user_id == user)
PORTS: Final = Quota(
    "ports",
    100,
    "release some",
    lambda user: and_(Project.user_id == user, Allocation.project_id == Project.id),
)
TASKS: Final = Quota(
    "unfinished tasks",
    1000,
    "wait until some have ended, or cancel some",
    lambda user: and_(Task.user_id == user, Task.finished_at.is_(None)),
)
ARTICLES: Final = Quota("articles", 1000, "delete some", lambda user: Article.user_id == user)
INCIDENTS: Final = Quota(
    "open incidents",
    500,
    "a person has to look at them first",
    lambda user: and_(Incident.user_id == user, Incident.resolved_at.is_(None)),
)


async def require_room(session: AsyncSession, user: str, quota: Quota) -> None:
    """Raises ProblemError 409 where the user has as many as a user may have."""
    found = await session.scalar(select(func.count()).where(quota.held(user)))
    if (found or 0) >= quota.most:
        raise ProblemError(
            409, "quota_reached", f"a user has at most {quota.most} {quota.what}; {quota.then}"
        )
