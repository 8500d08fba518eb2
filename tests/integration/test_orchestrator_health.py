"""What the health report says of the other parts: on SQLite and on PostgreSQL."""

from __future__ import annotations

import re

import httpx

from agentsession_core.mailbox.connect import connect
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.orchestrator import Orchestrator
from agentsession_testing.orchestrator_callers import engineering
from agentsession_testing.valkey import Valkey


async def test_health_says_what_is_so(
    orchestrator: Orchestrator, store: MailboxStore, ada: httpx.AsyncClient
) -> None:
    await engineering(ada)
    found = (await ada.get("/v1/health")).json()
    assert found["parts"] == {
        "database": "ok",
        "redis": "not looked at by this process",
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
    assert re.fullmatch(r"cannot be used now \((Connection|Timeout)Error\)", parts["redis"])
    assert {parts[part] for part in ("operator", "gateway", "bridge")} == {
        "not known without Redis"
    }
