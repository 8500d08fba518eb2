"""Secrets, ports, tasks, deployments, incidents, knowledge: on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import select, text

from agentsession_core.mailbox.connect import connect
from agentsession_core.mailbox.publishing import Publishing
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.orchestrator import KEY, Orchestrator, problem
from agentsession_testing.valkey import Valkey
from orchestrator_api.relay import Relay
from orchestrator_api.routes.secrets import place_of
from orchestrator_api.sealing import Sealer, SealError
from orchestrator_api.tables import Secret

SERVER = {"name": "vps-1", "kind": "ssh", "host": "h", "first_port": 20_000, "last_port": 20_019}


@pytest.fixture
async def ada(orchestrator: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    async with orchestrator.client(await orchestrator.token("ada")) as client:
        yield client


@pytest.fixture
async def worker(orchestrator: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    async with orchestrator.client(await orchestrator.token("workers", "worker")) as client:
        yield client


@pytest.fixture
async def server(orchestrator: Orchestrator) -> None:
    async with orchestrator.client(await orchestrator.token("root", "admin")) as root:
        assert (await root.post("/v1/servers", json=SERVER)).status_code == 201
        assert problem(await root.post("/v1/servers", json=SERVER)) == (409, "server_exists")


@pytest.fixture
async def path(ada: httpx.AsyncClient) -> str:
    made = await ada.post(
        "/v1/projects", json={"name": "todo", "repository_url": "https://git.example.com/x"}
    )
    return f"/v1/projects/{made.json()['id']}"


async def test_secrets_go_in_and_never_out(
    orchestrator: Orchestrator, ada: httpx.AsyncClient, path: str, tmp_path: Any
) -> None:
    value = "tr0ub4dor-and-3"
    first = await ada.put(f"{path}/secrets/DATABASE_URL", json={"value": value})
    assert first.json()["version"] == 1
    again = await ada.put(
        f"{path}/secrets/DATABASE_URL", json={"value": value}, headers={"idempotency-key": "k"}
    )
    assert again.json()["version"] == 2
    listed = await ada.get(f"{path}/secrets")
    assert [item["name"] for item in listed.json()["items"]] == ["DATABASE_URL"]
    async with orchestrator.database.reading() as session:
        row = (await session.scalars(select(Secret))).one()
        tables = ("secrets", "audit_log", "idempotency_keys", "outbox", "approvals")
        kept = [
            str((await session.execute(text(f"SELECT * FROM {table}"))).all())  # noqa: S608
            for table in tables
        ]
    assert not any(value in everything for everything in [*kept, listed.text, again.text])
    sealer = Sealer(SecretStr(KEY))
    place = place_of(row.project_id, row.name)
    assert sealer.open(row.sealed, place) == value
    with pytest.raises(SealError):
        sealer.open(row.sealed, place_of(row.project_id, "OTHER"))
    assert (await ada.delete(f"{path}/secrets/DATABASE_URL")).status_code == 204
    gone = await ada.delete(f"{path}/secrets/DATABASE_URL")
    assert problem(gone) == (404, "secret_not_found")


@pytest.mark.parametrize("body", [{"value": ""}, {"value": 5}, {"v": "x"}, {"value": "x" * 65_537}])
async def test_values_that_are_refused(
    ada: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    refused = await ada.put(f"{path}/secrets/A", json=body)
    assert problem(refused) == (422, "invalid")
    assert "xxxx" not in refused.text
    assert problem(await ada.put(f"{path}/secrets/A-B", json={"value": "x"}))[0] == 422


async def test_without_an_encryption_key(
    orchestrator: Orchestrator, ada: httpx.AsyncClient, path: str
) -> None:
    orchestrator.sealer = None
    orchestrator.restart()
    async with orchestrator.client(await orchestrator.token("ada")) as client:
        refused = await client.put(f"{path}/secrets/A", json={"value": "x"})
    assert problem(refused) == (503, "secrets_unavailable")


async def test_ports(ada: httpx.AsyncClient, server: None, path: str) -> None:
    first = await ada.post(f"{path}/allocations", json={"service": "web"})
    assert (first.status_code, first.json()["port"], first.json()["created"]) == (201, 20_000, True)
    again = await ada.post(f"{path}/allocations", json={"service": "web"})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert again.json()["created"] is False
    own = await ada.post(f"{path}/allocations", json={"service": "db", "port": 20_005})
    assert own.json()["port"] == 20_005
    for wish, code in (
        ({"service": "x", "port": 20_005}, "port_taken"),
        ({"service": "x", "port": 80}, "port_not_offered"),
        ({"service": "web", "port": 20_007}, "service_has_port"),
    ):
        assert problem(await ada.post(f"{path}/allocations", json=wish)) == (409, code)
    nowhere = await ada.post(f"{path}/allocations", json={"service": "x", "server": "other"})
    assert problem(nowhere) == (404, "server_not_found")
    assert (await ada.get("/v1/servers")).json()["items"][0]["free_ports"] == 18
    assert len((await ada.get("/v1/allocations")).json()["items"]) == 2
    assert (await ada.delete(f"/v1/allocations/{own.json()['id']}")).status_code == 204
    assert (await ada.get("/v1/servers")).json()["items"][0]["free_ports"] == 19


async def test_nobody_shares_a_port(orchestrator: Orchestrator, server: None) -> None:
    """Thirty callers at once for twenty ports, some of them for the same one."""
    async with AsyncExitStack() as stack:
        clients = []
        for number in range(6):
            token = await orchestrator.token(f"user{number}")
            client = await stack.enter_async_context(orchestrator.client(token))
            made = await client.post("/v1/projects", json={"name": "p"})
            clients.append((client, made.json()["id"]))

        async def take(client: httpx.AsyncClient, project: int, number: int) -> httpx.Response:
            wish = {"service": f"s{number}"} | ({"port": 20_010} if number == 4 else {})
            return await client.post(f"/v1/projects/{project}/allocations", json=wish)

        answers = await asyncio.gather(
            *(take(client, project, n) for client, project in clients for n in range(5))
        )
    ports = [answer.json()["port"] for answer in answers if answer.status_code == 201]
    refused = {problem(answer) for answer in answers if answer.status_code != 201}
    assert len(set(ports)) == len(ports) == 20
    assert refused == {(409, "server_full"), (409, "port_taken")}


async def test_a_servers_ports_are_released_first(
    orchestrator: Orchestrator, ada: httpx.AsyncClient, server: None, path: str
) -> None:
    await ada.post(f"{path}/allocations", json={"service": "web"})
    async with orchestrator.client(await orchestrator.token("root", "admin")) as root:
        assert problem(await root.delete("/v1/servers/vps-1")) == (409, "server_in_use")
        assert (await ada.delete(path)).status_code == 204
        assert (await root.delete("/v1/servers/vps-1")).status_code == 204
        assert problem(await root.delete("/v1/servers/vps-1")) == (404, "server_not_found")


async def report(worker: httpx.AsyncClient, task: str, **said: Any) -> httpx.Response:
    body = {"worker": "worker-0", "message": "said", **said}
    return await worker.post(f"/v1/work/{task}/reports", json=body)


async def be_there(worker: httpx.AsyncClient) -> None:
    body = {"worker": "worker-0", "graph": "devops", "nodes": ["deployer"]}
    assert (await worker.post("/v1/work/nodes", json=body)).status_code == 204


async def engineering(ada: httpx.AsyncClient) -> dict[str, Any]:
    made: dict[str, Any] = (
        await ada.post("/v1/tasks", json={"kind": "engineering", "request": "Add a list"})
    ).json()
    return made


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
    server: None,
    path: str,
) -> None:
    await ada.post(f"{path}/allocations", json={"service": "web"})
    task = (await ada.post(f"{path}/deployments", json={})).json()["task_id"]
    await be_there(worker)
    await report(worker, task, state="running")
    assert (await ada.post(f"/v1/tasks/{task}/cancel")).json()["state"] == "running"
    orchestrator.moved = timedelta(minutes=3)
    ended = (await ada.post(f"/v1/tasks/{task}/cancel")).json()
    assert (ended["state"], ended["worker"]) == ("cancelled", "worker-0")
    assert problem(await report(worker, task, state="succeeded")) == (409, "task_state")
    assert (await ada.get(path)).json()["status"] == "created"
    assert (await ada.post(f"{path}/deployments", json={})).status_code == 201


async def test_a_projects_status_is_what_goes_on_or_what_came_of_it(
    ada: httpx.AsyncClient, worker: httpx.AsyncClient, server: None, path: str
) -> None:
    async def status() -> str:
        found: str = (await ada.get(path)).json()["status"]
        return found

    await ada.post(f"{path}/allocations", json={"service": "web"})
    project = int(path.rpartition("/")[2])
    work = {"kind": "engineering", "request": "Add a list", "project_id": project}
    task = (await ada.post("/v1/tasks", json=work)).json()["id"]
    seen = []
    for state in ("running", "waiting", "succeeded"):
        await report(worker, task, state=state)
        seen.append(await status())
    assert seen == ["developing", "developing", "created"]
    seen.clear()
    for last in ("succeeded", "cancelled", "failed"):
        task = (await ada.post(f"{path}/deployments", json={})).json()["task_id"]
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
    ada: httpx.AsyncClient, worker: httpx.AsyncClient, server: None, path: str
) -> None:
    deployments = f"{path}/deployments"
    unready = (await ada.get(f"{deployments}/check")).json()
    assert unready["ready"] is False
    assert "port" in unready["missing"][0]
    refused = await ada.post(deployments, json={})
    assert problem(refused) == (409, "not_deployable")
    await ada.post(f"{path}/allocations", json={"service": "web"})
    assert (await ada.get(f"{deployments}/check")).json()["ready"] is True
    no_logs = await ada.get(f"{deployments}/logs")
    assert problem(no_logs) == (404, "deployment_not_found")

    first = (await ada.post(deployments, json={"image": "todo:1"})).json()
    assert (first["number"], first["status"], first["url"]) == (1, "queued", None)
    assert (await ada.get(path)).json()["status"] == "created"
    busy = await ada.post(deployments, json={"image": "todo:2"})
    assert problem(busy) == (409, "deployment_running")
    assert busy.json()["task_id"] == first["task_id"]
    assert problem(await ada.delete(path)) == (409, "project_busy")

    await report(worker, first["task_id"], state="running")
    await report(worker, first["task_id"], kind="log", message="pulled")
    assert (await ada.get(path)).json()["status"] == "deploying"
    await report(worker, first["task_id"], state="succeeded", result={"url": "http://todo"})
    status = (await ada.get(f"{path}/status")).json()
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


async def test_strict_approvals(
    orchestrator: Orchestrator, store: MailboxStore, ada: httpx.AsyncClient, path: str
) -> None:
    orchestrator.store = store
    orchestrator.strict_approvals = True
    orchestrator.restart()
    async with orchestrator.client(await orchestrator.run("ada")) as agent:
        asked = await agent.put(f"{path}/secrets/A", json={"value": "hunter22"})
        assert problem(asked) == (403, "approval_required")
        wish = asked.json()["approval"]["id"]
        shown = await ada.get(f"/v1/approvals/{wish}")
        assert "hunter22" not in shown.text
        await ada.post(f"/v1/approvals/{wish}/approve")
        other = await agent.put(f"{path}/secrets/A", json={"value": "another"})
        assert problem(other) == (403, "approval_required")
        same = await agent.put(f"{path}/secrets/A", json={"value": "hunter22"})
        assert same.status_code == 200


async def test_incidents(ada: httpx.AsyncClient, path: str) -> None:
    number = int(path.rpartition("/")[2])
    made = (await ada.post("/v1/incidents", json={"title": "Down", "project_id": number})).json()
    assert (await ada.get(f"{path}/status")).json()["open_incidents"] == 1
    done = (await ada.post(f"/v1/incidents/{made['id']}/resolve")).json()
    assert (done["state"], done["resolved_at"] is not None) == ("resolved", True)
    assert (await ada.get("/v1/incidents?state=open")).json()["items"] == []
    nowhere = await ada.post("/v1/incidents", json={"title": "Down", "project_id": 4711})
    assert problem(nowhere) == (404, "project_not_found")


async def test_knowledge(orchestrator: Orchestrator, ada: httpx.AsyncClient) -> None:
    for title, body in (
        ("Naming services", "After what they do, in lower case."),
        ("Развёртывание", "Сначала проверка, потом выкладка."),
        ("Ports", "Naming is in another article; services have ports."),
    ):
        await ada.post("/v1/articles", json={"title": title, "body": body})

    async def found(client: httpx.AsyncClient, words: str) -> list[str]:
        answer = await client.get("/v1/articles", params={"q": words})
        assert answer.status_code == 200, answer.text
        return [item["title"] for item in answer.json()["items"]]

    assert await found(ada, "naming services lower") == ["Naming services"]
    assert set(await found(ada, "NAMING services")) == {"Naming services", "Ports"}
    assert await found(ada, "выкладка") == ["Развёртывание"]
    assert await found(ada, "nothing") == []
    for odd in ('"', "a OR b", "title:x", "naming*", "(", "'; DROP TABLE articles; --", "NOT"):
        await found(ada, odd)
    assert len(await found(ada, "")) == 3

    denied = await ada.post("/v1/articles", json={"title": "x", "body": "y", "shared": True})
    assert problem(denied) == (403, "scope_missing")
    async with orchestrator.client(await orchestrator.token("root", "admin", "write")) as root:
        made = await root.post(
            "/v1/articles", json={"title": "For all", "body": "naming", "shared": True}
        )
        assert await found(root, "naming") == ["For all"]
    assert "For all" in await found(ada, "naming")
    gone = await ada.delete(f"/v1/articles/{made.json()['id']}")
    assert problem(gone) == (404, "article_not_found")


async def test_health_says_what_is_so(
    orchestrator: Orchestrator, store: MailboxStore, ada: httpx.AsyncClient
) -> None:
    await engineering(ada)
    found = (await ada.get("/v1/health")).json()
    assert found["parts"] == {
        "database": "ok",
        "redis": "unchecked",
        "engineering workers": "no worker of the engineering graph has reported",
        "devops workers": "no worker of the devops graph has reported",
    }
    assert (found["queued_tasks"], found["running_tasks"]) == (1, 0)
    assert found["outbox"] > 0


async def test_health_names_the_parts_that_are_there(
    orchestrator: Orchestrator, store: MailboxStore, ada: httpx.AsyncClient, valkey: Valkey
) -> None:
    orchestrator.store = store
    orchestrator.restart()
    token = await orchestrator.token("bot", "worker")
    async with orchestrator.client(token) as worker:
        nodes = {"worker": "w-0", "graph": "devops", "nodes": ["deployer"]}
        await worker.post("/v1/work/nodes", json=nodes)
    reader = await orchestrator.token("ada", "read")
    async with (
        connect(valkey.url, None, part="operator") as operator,
        orchestrator.client(reader) as person,
    ):
        await operator.ping()
        parts = (await person.get("/v1/health")).json()["parts"]
    assert (parts["redis"], parts["operator"], parts["devops workers"]) == ("ok", "ok", "ok")
    for part in ("gateway", "bridge"):
        assert parts[part] == "not connected to Redis: down, or not installed"
    async with orchestrator.client(reader) as person:
        parts = (await person.get("/v1/health")).json()["parts"]
    assert parts["operator"].startswith("not connected")


async def test_health_without_redis(orchestrator: Orchestrator, ada: httpx.AsyncClient) -> None:
    async with connect("redis://127.0.0.1:1/0", None) as away:
        orchestrator.store = MailboxStore(away)
        orchestrator.restart()
        async with orchestrator.client(await orchestrator.token("ada")) as person:
            parts = (await person.get("/v1/health")).json()["parts"]
    assert parts["redis"] in ("ConnectionError", "TimeoutError")
    assert {parts[part] for part in ("operator", "gateway", "bridge")} == {"unknown"}


async def test_the_audit_log(ada: httpx.AsyncClient, path: str) -> None:
    await ada.patch(path, json={"description": "x"})
    items = (await ada.get("/v1/audit")).json()["items"]
    assert [item["action"] for item in items] == ["project.update", "project.create"]
    assert items[0]["actor"].startswith("token:")
