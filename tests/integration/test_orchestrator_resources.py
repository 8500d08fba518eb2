"""Secrets, ports, incidents, knowledge and the audit log: on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select, text

from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.orchestrator import KEY, Orchestrator, problem
from orchestrator_api.routes.secrets import place_of
from orchestrator_api.sealing import Sealer, SealError
from orchestrator_api.tables import Secret


async def test_secrets_go_in_and_never_out(
    orchestrator: Orchestrator, ada: httpx.AsyncClient, todo: str, tmp_path: Any
) -> None:
    value = "tr0ub4dor-and-3"
    first = await ada.put(f"{todo}/secrets/DATABASE_URL", json={"value": value})
    assert first.json()["version"] == 1
    again = await ada.put(
        f"{todo}/secrets/DATABASE_URL", json={"value": value}, headers={"idempotency-key": "k"}
    )
    assert again.json()["version"] == 2
    listed = await ada.get(f"{todo}/secrets")
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
    assert (await ada.delete(f"{todo}/secrets/DATABASE_URL")).status_code == 204
    gone = await ada.delete(f"{todo}/secrets/DATABASE_URL")
    assert problem(gone) == (404, "secret_not_found")


@pytest.mark.parametrize("body", [{"value": ""}, {"value": 5}, {"v": "x"}, {"value": "x" * 65_537}])
async def test_values_that_are_refused(
    ada: httpx.AsyncClient, todo: str, body: dict[str, Any]
) -> None:
    refused = await ada.put(f"{todo}/secrets/A", json=body)
    assert problem(refused) == (422, "invalid")
    assert "xxxx" not in refused.text
    assert problem(await ada.put(f"{todo}/secrets/A-B", json={"value": "x"}))[0] == 422


async def test_without_an_encryption_key(
    orchestrator: Orchestrator, ada: httpx.AsyncClient, todo: str
) -> None:
    orchestrator.sealer = None
    orchestrator.restart()
    async with orchestrator.client(await orchestrator.token("ada")) as client:
        refused = await client.put(f"{todo}/secrets/A", json={"value": "x"})
    assert problem(refused) == (503, "secrets_unavailable")


async def test_ports(ada: httpx.AsyncClient, vps: None, todo: str) -> None:
    first = await ada.post(f"{todo}/allocations", json={"service": "web"})
    assert (first.status_code, first.json()["port"], first.json()["created"]) == (201, 20_000, True)
    again = await ada.post(f"{todo}/allocations", json={"service": "web"})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert again.json()["created"] is False
    own = await ada.post(f"{todo}/allocations", json={"service": "db", "port": 20_005})
    assert own.json()["port"] == 20_005
    for wish, code in (
        ({"service": "x", "port": 20_005}, "port_taken"),
        ({"service": "x", "port": 80}, "port_not_offered"),
        ({"service": "web", "port": 20_007}, "service_has_port"),
    ):
        assert problem(await ada.post(f"{todo}/allocations", json=wish)) == (409, code)
    nowhere = await ada.post(f"{todo}/allocations", json={"service": "x", "server": "other"})
    assert problem(nowhere) == (404, "server_not_found")
    assert (await ada.get("/v1/servers")).json()["items"][0]["free_ports"] == 18
    assert len((await ada.get("/v1/allocations")).json()["items"]) == 2
    assert (await ada.delete(f"/v1/allocations/{own.json()['id']}")).status_code == 204
    assert (await ada.get("/v1/servers")).json()["items"][0]["free_ports"] == 19


async def test_the_lowest_free_port_wherever_it_is(
    ada: httpx.AsyncClient, root: httpx.AsyncClient, vps: None, todo: str
) -> None:
    number = 0

    async def take(**wish: object) -> tuple[int, int]:
        nonlocal number
        number += 1
        made = await ada.post(f"{todo}/allocations", json={"service": f"s{number}", **wish})
        assert made.status_code == 201, made.text
        return made.json()["port"], made.json()["id"]

    taken = [await take(port=port) for port in (20_001, 20_002, 20_004, 20_019)]
    assert [(await take())[0] for _ in range(3)] == [20_000, 20_003, 20_005]
    await ada.delete(f"/v1/allocations/{taken[1][1]}")
    assert (await take())[0] == 20_002
    assert [(await take())[0] for _ in range(13)] == list(range(20_006, 20_019))
    full = await ada.post(f"{todo}/allocations", json={"service": "x"})
    assert problem(full) == (409, "server_full")
    # What is free on another server is found, and nothing of this one is in its way.
    more = {"name": "vps-2", "kind": "ssh", "host": "h", "first_port": 20_001, "last_port": 20_001}
    await root.post("/v1/servers", json=more)
    assert (await take())[0] == 20_001


async def test_nobody_shares_a_port(orchestrator: Orchestrator, vps: None) -> None:
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
    orchestrator: Orchestrator, ada: httpx.AsyncClient, vps: None, todo: str
) -> None:
    await ada.post(f"{todo}/allocations", json={"service": "web"})
    async with orchestrator.client(await orchestrator.token("root", "admin")) as root:
        assert problem(await root.delete("/v1/servers/vps-1")) == (409, "server_in_use")
        assert (await ada.delete(todo)).status_code == 204
        assert (await root.delete("/v1/servers/vps-1")).status_code == 204
        assert problem(await root.delete("/v1/servers/vps-1")) == (404, "server_not_found")


async def test_strict_approvals(
    orchestrator: Orchestrator, store: MailboxStore, ada: httpx.AsyncClient, todo: str
) -> None:
    orchestrator.store = store
    orchestrator.strict_approvals = True
    orchestrator.restart()
    async with orchestrator.client(await orchestrator.run("ada")) as agent:
        asked = await agent.put(f"{todo}/secrets/A", json={"value": "hunter22"})
        assert problem(asked) == (403, "approval_required")
        wish = asked.json()["approval"]["id"]
        shown = await ada.get(f"/v1/approvals/{wish}")
        assert "hunter22" not in shown.text
        await ada.post(f"/v1/approvals/{wish}/approve")
        other = await agent.put(f"{todo}/secrets/A", json={"value": "another"})
        assert problem(other) == (403, "approval_required")
        same = await agent.put(f"{todo}/secrets/A", json={"value": "hunter22"})
        assert same.status_code == 200


async def test_incidents(ada: httpx.AsyncClient, todo: str) -> None:
    number = int(todo.rpartition("/")[2])
    made = (await ada.post("/v1/incidents", json={"title": "Down", "project_id": number})).json()
    assert (await ada.get(f"{todo}/status")).json()["open_incidents"] == 1
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


async def test_the_audit_log(ada: httpx.AsyncClient, todo: str) -> None:
    await ada.patch(todo, json={"description": "x"})
    items = (await ada.get("/v1/audit")).json()["items"]
    assert [item["action"] for item in items] == ["project.update", "project.create"]
    assert items[0]["actor"].startswith("token:")
