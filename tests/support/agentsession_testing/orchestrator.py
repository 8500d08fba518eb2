"""The orchestrator's API over SQLite and PostgreSQL, with people and run pods that call it."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from agentsession_core import naming
from agentsession_core.api import LaunchType
from agentsession_core.identity import TokenIdentity
from agentsession_core.mailbox.publishing import Publishing
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import DatabaseSettings, RateLimitSettings
from agentsession_core.templates import Templates
from agentsession_testing.fake_cluster import FakeCluster, review
from agentsession_testing.postgresql import PostgreSQL, running_postgresql
from agentsession_testing.serving import plain_server, serving
from orchestrator_api.__main__ import make_first_token
from orchestrator_api.app import create_app
from orchestrator_api.database import Database, database_url
from orchestrator_api.deps import Deps
from orchestrator_api.migrating import migrate
from orchestrator_api.ratelimits import RateLimits
from orchestrator_api.relay import Relay
from orchestrator_api.sealing import Sealer

DATABASES = ("sqlite", "postgresql")
KEY = "a2V5IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXMgbG9uZy4="
PROBLEM = "application/problem+json"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One server for all tests of the process; each has a database of its own."""
    with running_postgresql() as server:
        yield server


class DatabaseMaker:
    """Makes databases of this release's schema: copies of one that was migrated."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._template: str | None = None

    async def sqlite(self) -> str:
        """URL of a new SQLite file."""
        template = self._folder / "template.db"
        if not template.exists():
            await migrated(f"sqlite:///{template}")
        path = self._folder / f"{next(self._numbers)}.db"
        shutil.copyfile(template, path)
        return f"sqlite:///{path}"

    async def postgresql(self, server: PostgreSQL) -> str:
        """URL of a new database of the server."""
        if self._template is None:
            name = f"template_{os.getpid()}"
            await server.execute(f"CREATE DATABASE {name}")
            await migrated(server.url(name))
            self._template = name
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        await server.execute(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return server.url(name)


async def migrated(url: str) -> None:
    """Brings the database to this release's schema."""
    database = opened(url)
    await migrate(database)
    await database.close()


def opened(url: str) -> Database:
    """The database as the process opens it."""
    settings = DatabaseSettings(url=url, connections=8)
    return WatchedDatabase(database_url(settings, None), settings.connections)


@pytest.fixture(scope="session")
def database_maker(tmp_path_factory: pytest.TempPathFactory) -> DatabaseMaker:
    """Makes the tests' databases."""
    return DatabaseMaker(tmp_path_factory.mktemp("orchestrator"))


@pytest.fixture(params=DATABASES)
async def new_database_url(request: pytest.FixtureRequest, database_maker: DatabaseMaker) -> str:
    """URL of an empty database, once for each kind."""
    if request.param == "sqlite":
        return await database_maker.sqlite()
    return await database_maker.postgresql(request.getfixturevalue("postgresql"))


@dataclass
class Orchestrator:
    """The API's collaborators, for tests to look at and to change before `app` is asked for."""

    database: Database
    store: MailboxStore | None = None
    cluster: FakeCluster = field(default_factory=FakeCluster)
    moved: timedelta = timedelta()
    strict_approvals: bool = False
    sealer: Sealer | None = field(default_factory=lambda: Sealer(SecretStr(KEY)))
    streams: Publishing | None = None
    relay: Relay | None = None
    committed: int = 0
    # Tests ask as often as they like.
    rate_limits: RateLimits = field(
        default_factory=lambda: RateLimits(RateLimitSettings(requests_per_minute=0), time.monotonic)
    )

    def __post_init__(self) -> None:
        self._ids = itertools.count(1)
        self._app: FastAPI | None = None
        self._runs = itertools.count(1)
        self._current: dict[str, str] = {}

    def now(self) -> datetime:
        """The time, moved on by `moved`."""
        return datetime.now(UTC) + self.moved

    def _committed(self) -> None:
        self.committed += 1
        if self.relay is not None:
            self.relay.committed()

    def restart(self) -> None:
        """To be called after a change of the collaborators, where `app` was asked for before it."""
        self._app = None

    @property
    def app(self) -> FastAPI:
        """The application."""
        if self._app is None:
            identity = TokenIdentity(
                self.cluster, naming.AUDIENCE_ORCHESTRATOR, ("agents",), time.monotonic
            )
            deps = Deps(
                database=self.database,
                identity=identity if self.store else None,
                templates=Templates(self.cluster, time.monotonic) if self.store else None,
                runs=self.store,
                now=self.now,
                new_id=lambda: f"{next(self._ids):012x}",
                committed=self._committed,
                strict_approvals=self.strict_approvals,
                sealer=self.sealer,
                streams=self.streams,
                rate_limits=self.rate_limits,
            )
            self._app = create_app(deps)
        return self._app

    async def token(self, user: str, *scopes: str, days: int | None = None) -> str:
        """An API token."""
        wanted: Sequence[str] = scopes or ("write", "approve", "tokens")
        return await make_first_token(self.database, user, list(wanted), days, "of a test")

    async def run(self, user: str, *, current: bool = True) -> str:
        """The token of a run pod of the user's session."""
        assert self.store is not None
        number = next(self._runs)
        session, uid = f"{user.lower()}-{number}", f"uid-of-{user}-{number}"
        token = f"pod-token-of-{session}"
        self.cluster.add_session(session, uid, {"user": {"id": user}})
        self.cluster.add_run(session, uid, 1, token)
        pod = f"{session}-r1-abcde"
        self.cluster.reviews[token] = review(
            pod, f"{pod}-uid", audience=naming.AUDIENCE_ORCHESTRATOR
        )
        if current:
            run = naming.run_id(uid, 1)
            await self.store.begin_run(
                user,
                run=run,
                expected=self._current.get(user, ""),
                session_uid=uid,
                launch=LaunchType.COLD,
            )
            self._current[user] = run
            await self.store.hello(user, run=run, pod_uid=f"{pod}-uid", pod=pod)
        return token

    @asynccontextmanager
    async def client(self, token: str | None, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        """A client that calls the application without a network."""
        own = {} if token is None else {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app),
            base_url="http://orchestrator",
            headers={**own, **headers},
            trust_env=False,
        ) as client:
            yield client

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """The application behind a real port; yields its URL."""
        async with serving(plain_server(self.app)) as url:
            yield url


_OPEN_TRANSACTIONS: ContextVar[int] = ContextVar("open_transactions", default=0)


class WatchedDatabase(Database):
    """Counts the transactions that a task has open."""

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """As the database's own."""
        with _counted():
            async with super().reading() as session:
                yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """As the database's own."""
        with _counted():
            async with super().writing() as session:
                yield session


@contextmanager
def _counted() -> Iterator[None]:
    _OPEN_TRANSACTIONS.set(_OPEN_TRANSACTIONS.get() + 1)
    try:
        yield
    finally:
        _OPEN_TRANSACTIONS.set(_OPEN_TRANSACTIONS.get() - 1)


@pytest.fixture
def no_redis_within_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails whoever asks Redis something while a transaction waits for it: SQLite has one writer."""
    real: Any = Redis.execute_command

    def execute(self: Redis, *args: Any, **options: Any) -> Any:
        assert _OPEN_TRANSACTIONS.get() == 0, f"{args[0]} is sent with a transaction open"
        return real(self, *args, **options)

    monkeypatch.setattr(Redis, "execute_command", execute)


@pytest.fixture
async def orchestrator(
    new_database_url: str, no_redis_within_a_transaction: None
) -> AsyncIterator[Orchestrator]:
    """An API of its own, once for each kind of database."""
    database = opened(new_database_url)
    yield Orchestrator(database)
    await database.close()


@pytest.fixture
async def orchestrator_on_sqlite(database_maker: DatabaseMaker) -> AsyncIterator[Orchestrator]:
    """An API of its own on SQLite: for tests of what is the same on any database."""
    database = opened(await database_maker.sqlite())
    yield Orchestrator(database)
    await database.close()


def problem(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal that is as every refusal must be."""
    assert response.headers["content-type"] == PROBLEM, response.text
    body: dict[str, Any] = response.json()
    assert body["status"] == response.status_code
    assert body["detail"]
    assert re.fullmatch(r"[\w.-]{1,64}", body["request_id"])
    assert body["request_id"] == response.headers.get("x-request-id", body["request_id"])
    return response.status_code, body["code"]
