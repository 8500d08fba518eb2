"""Tasks and deployments, with a worker that reports: on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
from redis.asyncio import Redis

from agentsession_core.mailbox.publishing import Publishing
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.orchestrator import Orchestrator, problem
from agentsession_testing.orchestrator_callers import engineering
from orchestrator_api.relay import Relay


async def report(worker: httpx.AsyncClient, task: str, **said: Any) -> httpx.Response:
    body = {"worker": "worker-0", "message": "said", **said}
    return await worker.post(f"/v1/work/{task}/reports", json=body)


async def be_there(worker: httpx.AsyncClient) -> None:
    body = {"worker": "worker-0", "graph": "devops", "nodes": ["deployer"]}
    assert (await worker.post("/v1/work/nodes", json=body)).status_code == 204


async def test_a_queued_task_says_that_nobody_works_on_it(ada: httpx.AsyncClient) -> None:
    made = await engineering(ada)
    assert (made["state"], made["worker"], made["started_at"]) == ("queued", None, None)
    assert "no worker has taken it" in made["standing"]
    assert (await ada.get(f"/v1/tasks/{made['id']}")).json() == made


async def test_a_tasks_life(ada: httpx.AsyncClient, worker: httpx.AsyncClient) -> None:
    task = (await engineering(ada))["id"]
    assert problem(await report(worker, task)) == (409, "task_state")
    assert (await report(worker, task, state="running", message="began")).status_code == 200
    other = await worker.post(
        f"/v1/work/{task}/reports", json={"worker": "worker-1", "message": "", "state": "running"}
    )
    assert problem(other) == (409, "task_taken")
    await report(worker, task, kind="log", message="$ make test")
    await be_there(worker)
    asked = await ada.post(f"/v1/tasks/{task}/cancel")
    assert (asked.json()["state"], asked.json()["cancel_requested"]) == ("running", True)
    done = await report(worker, task, state="succeeded", result={"pr": "https://x/1"})
    assert done.json()["result"] == {"pr": "https://x/1"}
    assert problem(await report(worker, task, state="running")) == (409, "task_state")
    page = (await ada.get(f"/v1/tasks/{task}/events")).json()
    assert [(event["seq"], event["kind"]) for event in page["items"]] == [
        (1, "queued"),
        (2, "running"),
        (3, "log"),
        (4, "cancel"),
        (5, "succeeded"),
    ]
    assert (page["state"], page["ended"]) == ("succeeded", True)
    rest = (await ada.get(f"/v1/tasks/{task}/events?after=3")).json()
    assert [event["seq"] for event in rest["items"]] == [4, 5]


async def test_a_task_is_cancelled_before_it_began(
    ada: httpx.AsyncClient, worker: httpx.AsyncClient
) -> None:
    task = (await engineering(ada))["id"]
    assert (await ada.post(f"/v1/tasks/{task}/cancel")).json()["state"] == "cancelled"
    assert (await ada.post(f"/v1/tasks/{task}/cancel")).json()["state"] == "cancelled"
    assert problem(await report(worker, task, state="running")) == (409, "task_state")


async def test_a_task_whose_worker_is_gone_is_ended(
    orchestrator: Orchestrator,
    ada: httpx.AsyncClient,
    worker: httpx.AsyncClient,
    vps: None,
    todo: str,
) -> None:
    await ada.post(f"{todo}/allocations", json={"service": "web"})
    task = (await ada.post(f"{todo}/deployments", json={})).json()["task_id"]
    await be_there(worker)
    await report(worker, task, state="running")
    assert (await ada.post(f"/v1/tasks/{task}/cancel")).json()["state"] == "running"
    orchestrator.moved = timedelta(minutes=3)
    ended = (await ada.post(f"/v1/tasks/{task}/cancel")).json()
    assert (ended["state"], ended["worker"]) == ("cancelled", "worker-0")
    assert problem(await report(worker, task, state="succeeded")) == (409, "task_state")
    assert (await ada.get(todo)).json()["status"] == "created"
    assert (await ada.post(f"{todo}/deployments", json={})).status_code == 201


async def test_a_projects_status_is_what_goes_on_or_what_came_of_it(
    ada: httpx.AsyncClient, worker: httpx.AsyncClient, vps: None, todo: str
) -> None:
    async def status() -> str:
        found: str = (await ada.get(todo)).json()["status"]
        return found

    await ada.post(f"{todo}/allocations", json={"service": "web"})
    project = int(todo.rpartition("/")[2])
    work = {"kind": "engineering", "request": "Add a list", "project_id": project}
    task = (await ada.post("/v1/tasks", json=work)).json()["id"]
    seen = []
    for state in ("running", "waiting", "succeeded"):
        await report(worker, task, state=state)
        seen.append(await status())
    assert seen == ["developing", "developing", "created"]
    seen.clear()
    for last in ("succeeded", "cancelled", "failed"):
        task = (await ada.post(f"{todo}/deployments", json={})).json()["task_id"]
        for state in ("running", last):
            await report(worker, task, state=state)
            seen.append(await status())
    assert seen == ["deploying", "deployed", "deploying", "deployed", "deploying", "failed"]


async def test_who_waits_for_events_is_woken(
    orchestrator: Orchestrator, store: MailboxStore, redis_client: Redis
) -> None:
    publishing = Publishing(redis_client)
    relay = Relay(orchestrator.database, publishing)
    orchestrator.store, orchestrator.streams, orchestrator.relay = store, publishing, relay
    running = asyncio.create_task(relay.run())
    async with (
        orchestrator.client(await orchestrator.token("ada")) as ada,
        orchestrator.client(await orchestrator.token("workers", "worker")) as worker,
    ):
        task = (await engineering(ada))["id"]
        waiting = asyncio.create_task(
            ada.get(f"/v1/tasks/{task}/events?after=1&wait=20", timeout=30)
        )
        await report(worker, task, state="running")
        page = (await waiting).json()
        assert [event["seq"] for event in page["items"]] == [2]
        assert page["ended"] is False
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_deployments(
    ada: httpx.AsyncClient, worker: httpx.AsyncClient, vps: None, todo: str
) -> None:
    deployments = f"{todo}/deployments"
    unready = (await ada.get(f"{deployments}/check")).json()
    assert unready["ready"] is False
    assert "port" in unready["missing"][0]
    refused = await ada.post(deployments, json={})
    assert problem(refused) == (409, "not_deployable")
    await ada.post(f"{todo}/allocations", json={"service": "web"})
    assert (await ada.get(f"{deployments}/check")).json()["ready"] is True
    no_logs = await ada.get(f"{deployments}/logs")
    assert problem(no_logs) == (404, "deployment_not_found")

    first = (await ada.post(deployments, json={"image": "todo:1"})).json()
    assert (first["number"], first["status"], first["url"]) == (1, "queued", None)
    assert (await ada.get(todo)).json()["status"] == "created"
    busy = await ada.post(deployments, json={"image": "todo:2"})
    assert problem(busy) == (409, "deployment_running")
    assert busy.json()["task_id"] == first["task_id"]
    assert problem(await ada.delete(todo)) == (409, "project_busy")

    await report(worker, first["task_id"], state="running")
    await report(worker, first["task_id"], kind="log", message="pulled")
    assert (await ada.get(todo)).json()["status"] == "deploying"
    await report(worker, first["task_id"], state="succeeded", result={"url": "http://todo"})
    status = (await ada.get(f"{todo}/status")).json()
    assert (status["status"], status["deployment"]["url"]) == ("deployed", "http://todo")
    assert (status["ports"], status["unfinished_tasks"]) == (1, [])
    lines = (await ada.get(f"{deployments}/logs?limit=2")).json()["items"]
    assert [line["message"] for line in lines] == ["pulled", "said"]

    nothing = await ada.post(f"{deployments}/rollback")
    assert problem(nothing) == (409, "nothing_to_roll_back_to")
    second = (await ada.post(deployments, json={"image": "todo:2"})).json()
    for state in ("running", "succeeded"):
        await report(worker, second["task_id"], state=state)
    back = (await ada.post(f"{deployments}/rollback")).json()
    assert (back["number"], back["image"], back["rollback_of"]) == (3, "todo:1", 2)
    numbers = [item["number"] for item in (await ada.get(deployments)).json()["items"]]
    assert numbers == [3, 2, 1]


async def carried_out(worker: httpx.AsyncClient, made: dict[str, Any], **last: Any) -> None:
    for said in ({"state": "running"}, {"state": "succeeded", **last}):
        assert (await report(worker, made["task_id"], **said)).status_code == 200


async def test_a_repository_is_rolled_back_to_its_revision(
    ada: httpx.AsyncClient, worker: httpx.AsyncClient, vps: None, todo: str
) -> None:
    deployments = f"{todo}/deployments"
    await ada.post(f"{todo}/allocations", json={"service": "web"})
    first = (await ada.post(deployments, json={})).json()
    assert (first["repository_url"], first["revision"]) == ("https://git.example.com/x", "")
    await carried_out(worker, first, revision="0123abc")
    # The project moves to another repository meanwhile: what ran was of the first.
    await ada.patch(todo, json={"repository_url": "https://git.example.com/y"})
    await carried_out(worker, (await ada.post(deployments, json={})).json(), revision="4567def")
    back = (await ada.post(f"{deployments}/rollback")).json()
    assert (back["number"], back["rollback_of"], back["image"]) == (3, 2, "")
    assert (back["repository_url"], back["revision"]) == ("https://git.example.com/x", "0123abc")
    task = (await ada.get(f"/v1/tasks/{back['task_id']}")).json()
    assert task["request"] == "roll back deployment 2 to https://git.example.com/x at 0123abc"
    shown = [item["revision"] for item in (await ada.get(deployments)).json()["items"]]
    assert shown == ["0123abc", "4567def", "0123abc"]


async def test_nobody_guesses_what_a_repository_was(
    ada: httpx.AsyncClient, worker: httpx.AsyncClient, vps: None, todo: str
) -> None:
    deployments = f"{todo}/deployments"
    await ada.post(f"{todo}/allocations", json={"service": "web"})
    for _ in range(2):
        await carried_out(worker, (await ada.post(deployments, json={})).json())
    refused = await ada.post(f"{deployments}/rollback")
    assert problem(refused) == (409, "revision_unknown")
    made = (await ada.post(deployments, json={"image": "todo:1"})).json()
    of_image = await report(worker, made["task_id"], state="running", revision="0123abc")
    assert problem(of_image) == (409, "no_revision")
    for odd in ("main", "0123ab", "0123abc; rm -rf /", "A" * 40):
        said = await report(worker, made["task_id"], state="running", revision=odd)
        assert problem(said) == (422, "invalid")
    work = await report(worker, (await engineering(ada))["id"], state="running", revision="0123abc")
    assert problem(work) == (409, "no_revision")
