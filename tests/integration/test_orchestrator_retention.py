"""What was kept for its days goes, and nothing that somebody still needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from pydantic import ValidationError
from redis.asyncio import Redis
from sqlalchemy import func, select

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.publishing import Publishing
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import RetentionSettings
from agentsession_testing.orchestrator import Orchestrator
from agentsession_testing.valkey import entries
from orchestrator_api import retention
from orchestrator_api.relay import Relay
from orchestrator_api.retention import Retention
from orchestrator_api.tables import Approval, AuditEntry, Table, Task, TaskEvent

TASK = {"kind": "engineering", "request": "Add a list"}
DAYS = RetentionSettings(tasks=10, incidents=20, summaries=30, approvals=40, audit=50)


@pytest.fixture
def gone() -> Counter[str]:
    return Counter()


@pytest.fixture
def publishing(redis_client: Redis) -> Publishing:
    return Publishing(redis_client)


@pytest.fixture
def forgetting(orchestrator: Orchestrator, publishing: Publishing, gone: Counter[str]) -> Retention:
    return Retention(
        orchestrator.database,
        publishing,
        DAYS,
        orchestrator.now,
        lambda what, count: gone.update({what: count}),
    )


@pytest.fixture
async def ada(orchestrator: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    token = await orchestrator.token("ada", "write", "worker", "admin", "approve")
    async with orchestrator.client(token) as client:
        yield client


async def rows(orchestrator: Orchestrator, table: type[Table]) -> int:
    async with orchestrator.database.reading() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def carried_out(ada: httpx.AsyncClient, task: str, state: str) -> None:
    for one in ("running", state):
        said = {"worker": "w-0", "state": one, "message": "said"}
        assert (await ada.post(f"/v1/work/{task}/reports", json=said)).status_code == 200


async def test_each_in_its_time(
    orchestrator: Orchestrator,
    ada: httpx.AsyncClient,
    forgetting: Retention,
    gone: Counter[str],
    store: MailboxStore,
) -> None:
    orchestrator.store = store
    await ada.post("/v1/summaries", json={"text": "Done"})
    for title in ("Over", "Open"):
        incident = (await ada.post("/v1/incidents", json={"title": title})).json()["id"]
        if title == "Over":
            await ada.post(f"/v1/incidents/{incident}/resolve")
    project = (await ada.post("/v1/projects", json={"name": "todo-app"})).json()["id"]
    orchestrator.restart()
    async with orchestrator.client(await orchestrator.run("ada")) as agent:
        assert (await agent.delete(f"/v1/projects/{project}")).status_code == 403
    audited = await rows(orchestrator, AuditEntry)
    assert audited == 5
    seen = []
    for days in (19, 21, 29, 31, 39, 41, 49, 51):
        orchestrator.moved = timedelta(days=days)
        await forgetting.forget()
        seen.append(dict(gone))
        gone.clear()
    nothing: dict[str, int] = {}
    assert seen == [
        *(nothing, {"incidents": 1}),
        *(nothing, {"summaries": 1}),
        *(nothing, {"approvals": 1}),
        *(nothing, {"audit": audited}),
    ]
    open_ones = (await ada.get("/v1/incidents")).json()["items"]
    assert [one["title"] for one in open_ones] == ["Open"]
    assert (await rows(orchestrator, AuditEntry), await rows(orchestrator, Approval)) == (0, 0)


async def test_a_task_goes_with_its_events_and_its_stream(
    orchestrator: Orchestrator,
    ada: httpx.AsyncClient,
    forgetting: Retention,
    publishing: Publishing,
    redis_client: Redis,
    gone: Counter[str],
) -> None:
    ended, running, asked = [
        (await ada.post("/v1/tasks", json=TASK)).json()["id"] for _ in range(3)
    ]
    for task in (ended, asked):
        await carried_out(ada, task, "succeeded")
    said = {"worker": "w-0", "state": "running", "message": "said"}
    await ada.post(f"/v1/work/{running}/reports", json=said)
    again = {"kind": "clear-state", "task_id": asked}
    assert (await ada.post("/v1/graphs/commands", json=again)).status_code == 201
    await Relay(orchestrator.database, publishing).publish()
    assert await entries(redis_client, keys.task_events(ended))
    orchestrator.moved = timedelta(days=9)
    await forgetting.forget()
    assert await rows(orchestrator, Task) == 3
    orchestrator.moved = timedelta(days=11)
    await forgetting.forget()
    assert (await ada.get(f"/v1/tasks/{ended}")).status_code == 404
    left = {item["id"] for item in (await ada.get("/v1/tasks")).json()["items"]}
    assert left == {running, asked}
    assert (gone["tasks"], await rows(orchestrator, TaskEvent)) == (1, 6)
    assert await redis_client.exists(keys.task_events(ended)) == 0
    assert await redis_client.exists(keys.task_events(running)) == 1


async def test_what_a_project_is_rolled_back_to_stays(
    orchestrator: Orchestrator, ada: httpx.AsyncClient, forgetting: Retention
) -> None:
    server = {"name": "vps-1", "kind": "ssh", "host": "h", "first_port": 20_000}
    await ada.post("/v1/servers", json={**server, "last_port": 20_019})
    project = (await ada.post("/v1/projects", json={"name": "todo-app"})).json()["id"]
    path = f"/v1/projects/{project}/deployments"
    await ada.post(f"/v1/projects/{project}/allocations", json={"service": "web"})
    outcomes = ["succeeded"] * 4 + ["failed"] * 3
    for number, state in enumerate(outcomes, 1):
        made = (await ada.post(path, json={"image": f"todo:{number}"})).json()
        await carried_out(ada, made["task_id"], state)
    orchestrator.moved = timedelta(days=1000)
    await forgetting.forget()
    left = (await ada.get(path)).json()["items"]
    assert [(item["number"], item["status"]) for item in left] == [
        *((7, "failed"), (6, "failed")),
        *((4, "succeeded"), (3, "succeeded")),
    ]
    back = (await ada.post(f"{path}/rollback")).json()
    assert (back["number"], back["image"], back["rollback_of"]) == (8, "todo:3", 4)
    assert (await ada.get(f"/v1/projects/{project}")).json()["status"] == "failed"


async def test_many_of_them_a_few_at_a_time(
    orchestrator: Orchestrator,
    ada: httpx.AsyncClient,
    forgetting: Retention,
    gone: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "ROWS", 3)
    monkeypatch.setattr(retention, "TASKS", 2)
    for _ in range(5):
        task = (await ada.post("/v1/tasks", json=TASK)).json()["id"]
        await ada.post(f"/v1/tasks/{task}/cancel")
    orchestrator.moved = timedelta(days=1000)
    await forgetting.forget()
    assert gone == {"tasks": 5, "audit": 10}
    assert (await rows(orchestrator, Task), await rows(orchestrator, TaskEvent)) == (0, 0)


async def test_for_ever(
    orchestrator: Orchestrator, ada: httpx.AsyncClient, publishing: Publishing
) -> None:
    await ada.post("/v1/summaries", json={"text": "Done"})
    days = RetentionSettings(tasks=0, incidents=0, summaries=0, approvals=0, audit=0)
    orchestrator.moved = timedelta(days=10_000)
    await Retention(orchestrator.database, publishing, days, orchestrator.now).forget()
    assert len((await ada.get("/v1/summaries")).json()["items"]) == 1


@pytest.mark.parametrize("others", [{"tasks": 366}, {"approvals": 0}])
def test_the_audit_log_is_kept_longest(others: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="audit must be kept longest"):
        RetentionSettings(**others)
    assert RetentionSettings(**others, audit=0).audit == 0
