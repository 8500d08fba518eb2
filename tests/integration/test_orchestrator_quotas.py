"""One user, or the agent that speaks for them, does not have all of what everybody shares."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from agentsession_testing.orchestrator import Orchestrator, problem
from orchestrator_api import quotas

SERVER = {"name": "vps-1", "kind": "ssh", "host": "h", "first_port": 20_000, "last_port": 20_019}
TASK = {"kind": "engineering", "request": "Add a list"}


@pytest.fixture(autouse=True)
def small_quotas(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROJECTS", "PORTS", "TASKS", "ARTICLES", "INCIDENTS"):
        monkeypatch.setattr(quotas, name, replace(getattr(quotas, name), most=2))


@pytest.fixture
async def ada(orchestrator: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    """A person with a project, beside one who has as much as one may have."""
    async with orchestrator.client(await orchestrator.token("root", "admin")) as root:
        await root.post("/v1/servers", json=SERVER)
    async with orchestrator.client(await orchestrator.token("bob")) as bob:
        for name in ("one", "two"):
            await bob.post("/v1/projects", json={"name": name})
            await bob.post("/v1/projects/1/allocations", json={"service": name})
            await bob.post("/v1/tasks", json=TASK)
            await bob.post("/v1/articles", json={"title": name, "body": name})
            await bob.post("/v1/incidents", json={"title": name})
    async with orchestrator.client(await orchestrator.token("ada")) as client:
        await client.post("/v1/projects", json={"name": "todo"})
        yield client


@pytest.mark.parametrize(
    ("path", "body", "name", "had"),
    [
        ("/v1/projects", {}, "name", 1),
        ("/v1/projects/3/allocations", {}, "service", 0),
        ("/v1/tasks", {"kind": "engineering"}, "request", 0),
        ("/v1/articles", {"body": "words"}, "title", 0),
        ("/v1/incidents", {}, "title", 0),
    ],
)
async def test_so_many_and_no_more(
    ada: httpx.AsyncClient, path: str, body: dict[str, Any], name: str, had: int
) -> None:
    for number in range(2 - had):
        made = await ada.post(path, json={**body, name: f"n{number}"})
        assert made.status_code == 201, made.text
    assert problem(await ada.post(path, json={**body, name: "more"})) == (409, "quota_reached")


async def test_what_was_given_back_counts_no_more(ada: httpx.AsyncClient) -> None:
    tasks = [(await ada.post("/v1/tasks", json=TASK)).json()["id"] for _ in range(2)]
    assert problem(await ada.post("/v1/tasks", json=TASK)) == (409, "quota_reached")
    await ada.post(f"/v1/tasks/{tasks[0]}/cancel")
    assert (await ada.post("/v1/tasks", json=TASK)).status_code == 201
    path = "/v1/projects/3/allocations"
    first = (await ada.post(path, json={"service": "web"})).json()
    await ada.post(path, json={"service": "db"})
    again = await ada.post(path, json={"service": "web"})
    assert (again.status_code, again.json()["id"]) == (200, first["id"]), "it has that one"
