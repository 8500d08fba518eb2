"""Who calls the orchestrator's API, and what is there already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from agentsession_testing.orchestrator import Orchestrator, problem

SERVER = {"name": "vps-1", "kind": "ssh", "host": "h", "first_port": 20_000, "last_port": 20_019}


@pytest.fixture
async def ada(orchestrator: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    """A person."""
    async with orchestrator.client(await orchestrator.token("ada")) as client:
        yield client


@pytest.fixture
async def root(orchestrator: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator."""
    async with orchestrator.client(await orchestrator.token("root", "admin")) as client:
        yield client


@pytest.fixture
async def worker(orchestrator: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    """A worker of both graphs."""
    async with orchestrator.client(await orchestrator.token("workers", "worker")) as client:
        yield client


@pytest.fixture
async def vps(root: httpx.AsyncClient) -> None:
    """A server that there is once."""
    assert (await root.post("/v1/servers", json=SERVER)).status_code == 201
    assert problem(await root.post("/v1/servers", json=SERVER)) == (409, "server_exists")


@pytest.fixture
async def todo(ada: httpx.AsyncClient) -> str:
    """The path of a project of the person's."""
    made = await ada.post(
        "/v1/projects", json={"name": "todo", "repository_url": "https://git.example.com/x"}
    )
    return f"/v1/projects/{made.json()['id']}"


async def engineering(ada: httpx.AsyncClient) -> dict[str, Any]:
    """An engineering task of the person's."""
    made: dict[str, Any] = (
        await ada.post("/v1/tasks", json={"kind": "engineering", "request": "Add a list"})
    ).json()
    return made
