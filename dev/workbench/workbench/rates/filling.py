"""Fills a database with what a platform of some size has. Ids are the database's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator_api import tasks
from orchestrator_api.database import Database
from orchestrator_api.tables import (
    Allocation,
    ApiToken,
    Approval,
    Article,
    Deployment,
    Project,
    Server,
    Task,
    TaskEvent,
)
from orchestrator_api.tokens import make_token
from workbench.rates.people import Person, Undeployed, World
from workbench.rates.words import article_of

SCOPES = ["approve", "write"]
FIRST_PORT, PORTS_OF_A_SERVER = 20_000, 1000


@dataclass(frozen=True)
class Size:
    """How much there is. `deployable`: projects of further users that were never deployed."""

    users: int = 200
    projects_of_a_user: int = 10
    tasks_of_a_project: int = 5
    events_of_a_task: int = 4
    approvals_of_a_user: int = 5
    articles: int = 1000
    deployable: int = 6000
    deployers: int = 20
    servers: int = 40

    def sentence(self) -> str:
        """What stands in the report."""
        projects = self.users * self.projects_of_a_user
        tasks_there = projects * self.tasks_of_a_project
        return (
            f"{self.users:,} users, {projects:,} projects with a port each, {tasks_there:,} tasks with "
            f"{tasks_there * self.events_of_a_task:,} events, {self.users * self.approvals_of_a_user:,} "
            f"approvals, {self.articles:,} articles, {self.servers} servers; {self.deployable:,} more "
            "projects wait to be deployed"
        )


async def fill(database: Database, size: Size, now: datetime) -> World:
    """Fills a database that has this release's schema and nothing else. Raises SQLAlchemy's errors."""
    async with database.writing() as session:
        servers = [_server(n, now) for n in range(size.servers)]
        session.add_all([*servers, *(_article(n, now) for n in range(size.articles))])
        people = [
            await _person(session, size, f"user-{n}", size.projects_of_a_user, now)
            for n in range(size.users)
        ]
        each = size.deployable // size.deployers
        deployers = [
            await _person(session, size, f"deployer-{n}", each, now, worked_on=False)
            for n in range(size.deployers)
        ]
        await session.flush()
        numbers = [project for one in (*people, *deployers) for project in one.projects]
        session.add_all(_ports(numbers, [server.id for server in servers], now))
    undeployed = [Undeployed(one.token, project) for one in deployers for project in one.projects]
    return World(tuple(people), tuple(undeployed))


async def _person(
    session: AsyncSession,
    size: Size,
    user: str,
    projects: int,
    now: datetime,
    *,
    worked_on: bool = True,
) -> Person:
    token, row = _token(user, now)
    owned = [_project(user, n, now) for n in range(projects)]
    session.add_all([row, *owned])
    if not worked_on:
        await session.flush()
        return Person(user, token, tuple(project.id for project in owned), ())
    session.add_all(_approval(user, n, now) for n in range(size.approvals_of_a_user))
    await session.flush()
    done = [_task(project, n, now) for n in range(size.tasks_of_a_project) for project in owned]
    session.add_all(done)
    await session.flush()
    session.add_all(_events(done, size.events_of_a_task, now))
    session.add_all(_deployments(done, now))
    numbers = tuple(project.id for project in owned)
    return Person(user, token, numbers, tuple(task.id for task in done))


def _server(n: int, now: datetime) -> Server:
    return Server(
        name=f"vps-{n}",
        kind="ssh",
        host=f"vps-{n}.example.com",
        first_port=FIRST_PORT,
        last_port=FIRST_PORT + PORTS_OF_A_SERVER - 1,
        created_at=now,
    )


def _article(n: int, now: datetime) -> Article:
    return Article(
        user_id="", title=f"Article {n}", body=article_of(n), created_at=now, updated_at=now
    )


def _token(user: str, now: datetime) -> tuple[str, ApiToken]:
    made = make_token(user.encode().hex()[-12:].rjust(12, "0"))
    row = ApiToken(
        id=made.id,
        user_id=user,
        name="of a bench",
        sha256=made.sha256,
        scopes=SCOPES,
        created_by="bench",
        created_at=now,
        last_used_at=now,
    )
    return made.text, row


def _project(user: str, n: int, now: datetime) -> Project:
    return Project(
        user_id=user,
        name=f"project-{n}",
        description="Lists of things to do, for two people who share them",
        repository_url=f"https://git.example.com/{user}/project-{n}",
        status="created",
        summary="Deployed 1.4; the tests pass",
        version=1,
        created_at=now,
        updated_at=now,
    )


def _approval(user: str, n: int, now: datetime) -> Approval:
    return Approval(
        id=f"{user.encode().hex()[-10:]:0>10}{n:02x}",
        user_id=user,
        operation="project.delete",
        summary=f"delete project project-{n} with all that it has",
        arguments={"path": {"project_id": str(n)}, "query": {}, "body": None},
        arguments_sha256=f"{n:064x}",
        requested_by=f"run:{user}/{n}",
        mailbox=user,
        state="pending",
        created_at=now - timedelta(minutes=n),
        expires_at=now + timedelta(minutes=15 - n),
    )


def _task(project: Project, n: int, now: datetime) -> Task:
    # Ended, all of them: what waits would be queued again when the API starts.
    kind = tasks.DEPLOY if n % 2 else tasks.ENGINEERING
    return Task(
        id=f"{kind}-{project.id * 100 + n:012x}",
        kind=kind,
        user_id=project.user_id,
        project_id=project.id,
        request=f"deploy {project.repository_url}",
        state=tasks.FAILED if n % 5 == 4 else tasks.SUCCEEDED,
        worker="w-0",
        result={"url": f"https://{project.name}.example.com"},
        request_id=f"of-a-bench-{n}",
        callback_stream=f"user:{project.user_id}:events",
        last_seq=0,
        created_at=now,
        started_at=now,
        finished_at=now,
    )


def _events(done: Sequence[Task], each: int, now: datetime) -> Iterator[TaskEvent]:
    for task in done:
        task.last_seq = each
        for seq in range(1, each + 1):
            message = f"step {seq} of {each}: the image is built, the tests pass"
            yield TaskEvent(task_number=task.number, seq=seq, at=now, kind="log", message=message)


def _deployments(done: Sequence[Task], now: datetime) -> Iterator[Deployment]:
    counted: dict[int, int] = {}
    for task in done:
        if task.kind != tasks.DEPLOY or task.project_id is None:
            continue
        number = counted[task.project_id] = counted.get(task.project_id, 0) + 1
        yield Deployment(
            project_id=task.project_id,
            number=number,
            task_number=task.number,
            image="",
            rollback_of=None,
            created_at=now,
        )


def _ports(projects: Sequence[int], servers: Sequence[int], now: datetime) -> Iterator[Allocation]:
    for n, project in enumerate(projects):
        yield Allocation(
            server_id=servers[n % len(servers)],
            project_id=project,
            service="web",
            port=FIRST_PORT + n // len(servers),
            created_at=now,
        )
