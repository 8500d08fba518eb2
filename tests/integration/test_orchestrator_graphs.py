"""What administrators ask of the workers' graphs, with workers that are there and without."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from agentsession_testing.orchestrator import Orchestrator, problem
from agentsession_testing.orchestrator_callers import engineering
from orchestrator_api.tables import OutboxEntry

COMMANDS = "/v1/graphs/commands"


@pytest.fixture
async def task(ada: httpx.AsyncClient) -> str:
    found: str = (await engineering(ada))["id"]
    return found


async def report(worker: httpx.AsyncClient, task: str, state: str) -> None:
    body = {"worker": "w-0", "state": state, "message": state}
    assert (await worker.post(f"/v1/work/{task}/reports", json=body)).status_code == 200


async def be_there(worker: httpx.AsyncClient, *nodes: str) -> None:
    body = {"worker": "w-0", "graph": "engineering", "nodes": nodes}
    assert (await worker.post("/v1/work/nodes", json=body)).status_code == 204


def trigger(task: str, node: str = "developer") -> dict[str, Any]:
    return {"kind": "trigger-node", "task_id": task, "node": node}


async def test_without_a_worker_it_says_so(
    orchestrator: Orchestrator, root: httpx.AsyncClient, task: str
) -> None:
    nodes = (await root.get("/v1/graphs/nodes")).json()
    assert nodes["items"] == []
    assert nodes["standing"]["devops"] == "no worker of the devops graph has reported"
    made = (await root.post(COMMANDS, json=trigger(task))).json()
    assert made["state"] == "queued"
    assert made["standing"] == (
        "waits in its queue: no worker of the engineering graph has reported"
    )
    async with orchestrator.database.reading() as session:
        entries = (
            await session.scalars(
                select(OutboxEntry).where(OutboxEntry.stream == "engineering:queue")
            )
        ).all()
    assert [entry.fields.get("command") for entry in entries] == [None, "trigger-node"]
    assert entries[1].fields["command_id"] == made["id"]
    assert entries[1].fields["node"] == "developer"
    assert entries[1].fields["user_id"] == "ada"
    assert (await root.get(COMMANDS)).json()["items"] == [made]
    assert (await root.get(f"{COMMANDS}/{made['id']}")).json() == made


async def test_workers_that_come_and_go(
    orchestrator: Orchestrator, root: httpx.AsyncClient, worker: httpx.AsyncClient, task: str
) -> None:
    await be_there(worker, "architect", "developer", "developer")
    await be_there(worker, "developer", "tester")
    nodes = (await root.get("/v1/graphs/nodes")).json()
    assert [(item["node"], item["alive"]) for item in nodes["items"]] == [
        ("developer", True),
        ("tester", True),
    ]
    unknown = await root.post(COMMANDS, json=trigger(task, "architect"))
    assert problem(unknown) == (404, "node_not_found")
    assert "developer, tester" in unknown.json()["detail"]
    made = (await root.post(COMMANDS, json=trigger(task))).json()
    assert "worker w-0 of the engineering graph reported" in made["standing"]
    orchestrator.moved = timedelta(minutes=3)
    stale = (await root.get(f"{COMMANDS}/{made['id']}")).json()["standing"]
    assert "no worker of the engineering graph has reported for 18" in stale
    # What nobody who is there could know is queued: the worker says whether it is wrong.
    assert (await root.post(COMMANDS, json=trigger(task, "architect"))).status_code == 201


async def test_a_task_that_has_ended_begins_again(
    root: httpx.AsyncClient, worker: httpx.AsyncClient, ada: httpx.AsyncClient, task: str
) -> None:
    await report(worker, task, "running")
    busy = await root.post(COMMANDS, json=trigger(task))
    assert problem(busy) == (409, "task_state")
    await report(worker, task, "failed")
    tried = await root.post(f"{COMMANDS}?dry_run=true", json=trigger(task))
    assert tried.status_code == 201
    assert (await ada.get(f"/v1/tasks/{task}")).json()["state"] == "failed"
    command = (await root.post(COMMANDS, json=trigger(task))).json()
    again = (await ada.get(f"/v1/tasks/{task}")).json()
    assert (again["state"], again["worker"], again["finished_at"]) == ("queued", None, None)
    events = (await ada.get(f"/v1/tasks/{task}/events")).json()["items"]
    assert events[-1]["message"] == "queued again, to begin at node developer"
    await report(worker, task, "running")
    done = {"worker": "w-0", "state": "done", "message": "began at developer"}
    path = f"/v1/work/commands/{command['id']}/reports"
    assert (await worker.post(path, json=done)).json()["standing"] == "done by worker w-0"
    assert problem(await worker.post(path, json=done)) == (409, "command_ended")
    assert (await root.get(f"{COMMANDS}?task_id={task}")).json()["items"][0]["state"] == "done"


async def test_clearing_state_leaves_the_task_as_it_is(
    root: httpx.AsyncClient, ada: httpx.AsyncClient, task: str
) -> None:
    made = await root.post(COMMANDS, json={"kind": "clear-state", "task_id": task})
    assert (made.status_code, made.json()["node"]) == (201, "")
    assert (await ada.get(f"/v1/tasks/{task}")).json()["state"] == "queued"
    events = (await ada.get(f"/v1/tasks/{task}/events")).json()["items"]
    assert events[-1]["message"] == "an administrator asked to clear its graph's state"


async def test_a_second_deployment_is_not_begun_that_way(
    orchestrator: Orchestrator,
    root: httpx.AsyncClient,
    worker: httpx.AsyncClient,
    ada: httpx.AsyncClient,
) -> None:
    server = {"name": "vps-1", "kind": "ssh", "host": "h", "first_port": 1, "last_port": 9}
    await root.post("/v1/servers", json=server)
    body = {"name": "todo-app", "repository_url": "https://git.example.com/x"}
    project = (await ada.post("/v1/projects", json=body)).json()["id"]
    await ada.post(f"/v1/projects/{project}/allocations", json={"service": "web"})
    path = f"/v1/projects/{project}/deployments"
    first = (await ada.post(path, json={})).json()["task_id"]
    await report(worker, first, "running")
    await report(worker, first, "failed")
    second = (await ada.post(path, json={})).json()["task_id"]
    refused = await root.post(COMMANDS, json=trigger(first, "deployer"))
    assert problem(refused) == (409, "deployment_running")
    assert refused.json()["task_id"] == second


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "trigger-node", "task_id": "engineering-000000000001"},
        {"kind": "clear-state", "task_id": "engineering-000000000001", "node": "developer"},
        {"kind": "reboot", "task_id": "engineering-000000000001"},
        {"kind": "clear-state", "task_id": "../x"},
    ],
)
async def test_what_cannot_be_meant(root: httpx.AsyncClient, body: dict[str, str]) -> None:
    assert problem(await root.post(COMMANDS, json=body)) == (422, "invalid")


async def test_what_is_not_there(root: httpx.AsyncClient) -> None:
    missing = await root.post(COMMANDS, json=trigger("engineering-0000000000ff"))
    assert problem(missing) == (404, "task_not_found")
    gone = await root.get(f"{COMMANDS}/0000000000ff")
    assert problem(gone) == (404, "command_not_found")
