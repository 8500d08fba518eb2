"""What a person agrees to is what they read, and they are not asked without end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import func, select

from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.orchestrator import Orchestrator, problem
from orchestrator_api.approvals import UNANSWERED_AT_ONCE
from orchestrator_api.tables import Approval

REQUIRED = (403, "approval_required")
DEPLOYMENTS = "/v1/projects/1/deployments"


@pytest.fixture
async def stage(orchestrator: Orchestrator, store: MailboxStore) -> Orchestrator:
    orchestrator.store = store
    return orchestrator


@pytest.fixture
async def ada(stage: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    """A person with a project that has a port."""
    token = await stage.token("ada", "write", "approve", "admin")
    async with stage.client(token) as client:
        server = {"name": "vps-1", "kind": "ssh", "host": "vps-1.example.com"}
        await client.post("/v1/servers", json={**server, "first_port": 20_000, "last_port": 20_099})
        url = "https://git.example.com/ada/todo"
        await client.post("/v1/projects", json={"name": "todo", "repository_url": url})
        await client.post("/v1/projects/1/allocations", json={"service": "web"})
        yield client


@pytest.fixture
async def worker(stage: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    async with stage.client(await stage.token("workers", "worker")) as client:
        yield client


@pytest.fixture
async def agent(stage: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    async with stage.client(await stage.run("ada")) as client:
        yield client


async def agreed(ada: httpx.AsyncClient, asked: httpx.Response) -> str:
    """Agrees; what the person read."""
    assert problem(asked) == REQUIRED
    answer = await ada.post(f"/v1/approvals/{asked.json()['approval']['id']}/approve")
    assert answer.json()["state"] == "approved"
    summary: str = answer.json()["summary"]
    return summary


async def deployed(client: httpx.AsyncClient, worker: httpx.AsyncClient, image: str) -> None:
    made = (await client.post(DEPLOYMENTS, json={"image": image})).json()
    for state in ("running", "succeeded"):
        said = {"worker": "w", "message": "said", "state": state}
        await worker.post(f"/v1/work/{made['task_id']}/reports", json=said)


async def test_a_rollback_goes_back_to_what_was_read(
    ada: httpx.AsyncClient, worker: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    for image in ("todo:1", "todo:2"):
        await deployed(ada, worker, image)
    read = await agreed(ada, await agent.post(f"{DEPLOYMENTS}/rollback"))
    assert "from deployment 2 to 1 (todo:1)" in read
    # Deploying takes no agreement here; now the very call would bring back another deployment.
    await deployed(agent, worker, "todo:3")
    assert problem(await agent.post(f"{DEPLOYMENTS}/rollback")) == REQUIRED
    numbers = [item["number"] for item in (await ada.get(DEPLOYMENTS)).json()["items"]]
    assert numbers == [3, 2, 1]


async def test_a_deployment_is_of_the_source_that_was_read(
    stage: Orchestrator, ada: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    stage.strict_approvals = True
    stage.restart()
    token = agent.headers["authorization"].removeprefix("Bearer ")
    async with stage.client(token) as asking:
        image = await agreed(ada, await asking.post(DEPLOYMENTS, json={"image": "todo:1"}))
        assert "todo:1" in image
        read = await agreed(ada, await asking.post(DEPLOYMENTS, json={}))
        assert "https://git.example.com/ada/todo" in read
        other = {"repository_url": "https://git.example.com/eve/todo"}
        assert (await asking.patch("/v1/projects/1", json=other)).status_code == 200
        assert problem(await asking.post(DEPLOYMENTS, json={})) == REQUIRED


async def test_a_call_says_nothing_that_is_not_read(
    stage: Orchestrator, ada: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    refused = await agent.delete("/v1/projects/1?really=1")
    assert problem(refused) == (422, "query_unknown")
    refused = await agent.request("DELETE", "/v1/projects/1", json={"really": 1})
    assert problem(refused) == (422, "body_unexpected")
    # Reading takes its parameters, whatever scope it needs.
    async with stage.client(await stage.token("ada", "tokens")) as holder:
        assert (await holder.get("/v1/tokens?limit=1")).status_code == 200
    async with stage.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(Approval)) == 0


async def test_a_person_is_not_asked_without_end(
    stage: Orchestrator, ada: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    for number in range(UNANSWERED_AT_ONCE + 1):
        await ada.post("/v1/projects", json={"name": f"p{number}"})
    paths = [f"/v1/projects/{number + 1}" for number in range(UNANSWERED_AT_ONCE + 1)]
    asked = [await agent.delete(path) for path in paths]
    assert {problem(answer) for answer in asked[:-1]} == {REQUIRED}
    assert problem(asked[-1]) == (403, "too_many_approvals")
    # A no is one of them still, or an agent would ask until a yes slips out.
    wishes = [answer.json()["approval"]["id"] for answer in asked[:-1]]
    await ada.post(f"/v1/approvals/{wishes[0]}/deny")
    assert problem(await agent.delete(paths[-1])) == (403, "too_many_approvals")
    await ada.post(f"/v1/approvals/{wishes[1]}/approve")
    assert problem(await agent.delete(paths[-1])) == REQUIRED
    assert problem(await agent.delete(paths[2])) == REQUIRED, "asked already"


async def test_the_list_has_each_once_however_fast_they_came(
    stage: Orchestrator, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = stage.now()
    monkeypatch.setattr(stage, "now", lambda: moment)
    stage.restart()
    for number in range(4):
        await ada.post("/v1/projects", json={"name": f"p{number}"})
    async with stage.client(await stage.run("ada")) as agent:
        asked = [await agent.delete(f"/v1/projects/{number + 1}") for number in range(5)]
        found, cursor = [], ""
        while cursor is not None:
            page = (await agent.get(f"/v1/approvals?limit=2{cursor}")).json()
            found += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert found == sorted((one.json()["approval"]["id"] for one in asked), reverse=True)
