"""A database that cannot do it now is nobody's fault: callers are told to try again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import text

from agentsession_testing.orchestrator import DatabaseMaker, Orchestrator, opened, problem
from agentsession_testing.postgresql import PostgreSQL
from agentsession_testing.serving import until
from orchestrator_api import database as database_module

UNAVAILABLE = (503, "database_unavailable")


@pytest.fixture
async def stage(
    postgresql: PostgreSQL, database_maker: DatabaseMaker, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Orchestrator]:
    """An API on PostgreSQL that waits two seconds for a lock."""
    monkeypatch.setattr(database_module, "STATEMENT_MILLISECONDS", 2000)
    database = opened(await database_maker.postgresql(postgresql))
    yield Orchestrator(database)
    await database.close()


@pytest.fixture
async def ada(stage: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    async with stage.client(await stage.token("ada")) as client:
        for name in ("one", "two"):
            await client.post("/v1/projects", json={"name": name})
        yield client


async def test_a_lock_that_is_not_let_go(stage: Orchestrator, ada: httpx.AsyncClient) -> None:
    async with stage.database.writing() as session:
        await session.execute(text("SELECT * FROM projects FOR UPDATE"))
        refused = await ada.patch("/v1/projects/1", json={"description": "x"})
    assert problem(refused) == UNAVAILABLE
    assert (await ada.patch("/v1/projects/1", json={"description": "x"})).status_code == 200


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        # A deadlock; a serialization failure; no connection left; no space left; it starts or stops.
        *((state, UNAVAILABLE) for state in ("40P01", "40001", "53300", "53100", "57P03")),
        # A division by zero is a fault of ours.
        ("22012", (500, "failed")),
    ],
)
async def test_what_postgresql_says(
    stage: Orchestrator, state: str, expected: tuple[int, str]
) -> None:
    async def fail() -> None:
        async with stage.database.writing() as session:
            await session.execute(
                text(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$")
            )

    stage.app.add_api_route("/fails", fail)
    async with stage.client(None) as client:
        assert problem(await client.get("/fails")) == expected


async def test_a_server_that_ends_its_connections(
    stage: Orchestrator, ada: httpx.AsyncClient
) -> None:
    locked = "datname = current_database() AND wait_event_type = 'Lock'"
    blocked = text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {locked}")  # noqa: S608

    async def ended() -> bool:
        async with stage.database.reading() as other:
            return bool((await other.execute(blocked)).all())

    async with stage.database.writing() as session:
        await session.execute(text("SELECT * FROM projects FOR UPDATE"))
        waiting = asyncio.create_task(ada.patch("/v1/projects/1", json={"description": "x"}))
        await until(ended, "a connection waited for the row and was ended", 10)
        assert problem(await waiting) == UNAVAILABLE
    assert (await ada.get("/v1/projects")).status_code == 200
