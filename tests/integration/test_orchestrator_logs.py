"""Logs of the user's own deployments and sessions, and of nobody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from agentsession_core.api import LaunchType
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.orchestrator import Orchestrator, problem


@pytest.fixture
async def stage(orchestrator: Orchestrator, store: MailboxStore) -> Orchestrator:
    orchestrator.store = store
    root = await orchestrator.token("root", "admin")
    async with orchestrator.client(root) as client:
        server = {"name": "vps-1", "kind": "ssh", "host": "h", "first_port": 1, "last_port": 99}
        await client.post("/v1/servers", json=server)
    return orchestrator


@pytest.fixture
async def ada(stage: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    async with stage.client(await stage.token("ada")) as client:
        yield client


async def project(client: httpx.AsyncClient, name: str, service: str) -> int:
    body = {"name": name, "repository_url": "https://git.example.com/x"}
    number: int = (await client.post("/v1/projects", json=body)).json()["id"]
    await client.post(f"/v1/projects/{number}/allocations", json={"service": service})
    return number


async def deploy(stage: Orchestrator, client: httpx.AsyncClient, number: int, *said: str) -> str:
    made = await client.post(f"/v1/projects/{number}/deployments", json={})
    task: str = made.json()["task_id"]
    async with stage.client(await stage.token("bot", "worker")) as worker:
        for message in said:
            body: dict[str, Any] = {"worker": "w-0", "message": message, "state": "running"}
            await worker.post(f"/v1/work/{task}/reports", json=body)
    return task


async def test_of_a_service_and_of_a_project(stage: Orchestrator, ada: httpx.AsyncClient) -> None:
    number = await project(ada, "todo-app", "web")
    never = (await ada.get("/v1/logs/web")).json()
    assert (never["items"], never["standing"]) == ([], "was never deployed")
    task = await deploy(stage, ada, number, "pulled", "started")
    found = (await ada.get("/v1/logs/web?limit=2")).json()
    assert [item["message"] for item in found["items"]] == ["pulled", "started"]
    assert (found["of"], found["name"], found["task_id"]) == ("deployment", "todo-app", task)
    assert found["standing"] == "running, worker w-0"
    assert (await ada.get("/v1/logs/todo-app")).json()["task_id"] == task


async def test_one_name_in_two_projects(stage: Orchestrator, ada: httpx.AsyncClient) -> None:
    one, other = await project(ada, "a", "web"), await project(ada, "b", "web")
    refused = await ada.get("/v1/logs/web")
    assert problem(refused) == (409, "service_ambiguous")
    assert refused.json()["projects"] == [one, other]
    found = await ada.get(f"/v1/logs/web?project_id={other}")
    assert found.json()["name"] == "b"


async def test_nobody_elses(
    stage: Orchestrator, ada: httpx.AsyncClient, store: MailboxStore
) -> None:
    await project(ada, "todo-app", "web")
    await session_of(store, "g7.t3", "ada")
    # Named like her, and not hers: whose a mailbox is says its session.
    await session_of(store, "ada", "eve")
    async with (
        stage.client(await stage.token("bob")) as bob,
        stage.client(await stage.run("bob")) as agent,
    ):
        for client in (bob, agent):
            for name in ("web", "todo-app", "g7.t3", "ada", "nobody"):
                assert problem(await client.get(f"/v1/logs/{name}")) == (404, "service_not_found")
    assert problem(await ada.get("/v1/logs/ada")) == (404, "service_not_found")
    assert problem(await ada.get("/v1/logs/session")) == (404, "service_not_found")
    assert (await ada.get("/v1/logs/g7.t3")).json()["of"] == "session"


async def test_of_a_session_without_its_words(stage: Orchestrator, store: MailboxStore) -> None:
    async with stage.client(await stage.run("ada")) as agent:
        message = NewMessage(source=Source.TELEGRAM, id="m1", chat="7", text="secret words")
        await store.ingest("ada", message)
        await store.begin_turn(
            "ada", run="uid-of-ada-1/1", pod_uid="ada-1-r1-abcde-uid", turn="t1", timeout_seconds=60
        )
        events = [(1, "delta", {"text": "secret words"}), (2, "tool", {"name": "Bash"})]
        await store.publish_events("ada", "t1", "telegram", events)
        found = await agent.get("/v1/logs/session")
    assert [item["message"] for item in found.json()["items"]] == [
        "turn t1 began: a message from telegram",
        "turn t1 used Bash",
    ]
    assert found.json()["standing"].startswith("run uid-of-ada-1/1 is open; turn t1 is going on")
    assert "secret" not in found.text


async def test_without_redis_there_are_no_sessions(orchestrator: Orchestrator) -> None:
    async with orchestrator.client(await orchestrator.token("ada")) as client:
        assert problem(await client.get("/v1/logs/session")) == (404, "service_not_found")


async def session_of(store: MailboxStore, mailbox: str, user: str) -> None:
    assert await store.begin_run(
        mailbox,
        run=f"uid-{mailbox}/1",
        expected="",
        session_uid=f"uid-{mailbox}",
        launch=LaunchType.COLD,
        user=user,
    )
