"""What the orchestrator's database holds, as its metrics say it."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta

import pytest
from sqlalchemy import text

from agentsession_testing.orchestrator import Orchestrator
from agentsession_testing.serving import until
from orchestrator_api.metrics import Metrics
from orchestrator_api.standing import read_standing, watch

TASK = {"kind": "engineering", "request": "Add a list"}
PREFIX = "agentsession_orchestrator"


async def test_what_waits_is_counted_and_has_an_age(orchestrator: Orchestrator) -> None:
    empty = await read_standing(orchestrator.database, orchestrator.now())
    assert (empty.outbox_entries, empty.outbox_oldest_seconds, dict(empty.tasks)) == (0, 0.0, {})
    async with orchestrator.client(await orchestrator.token("ada")) as ada:
        first, _ = [(await ada.post("/v1/tasks", json=TASK)).json()["id"] for _ in range(2)]
        await ada.post(f"/v1/tasks/{first}/cancel")
    later = orchestrator.now() + timedelta(seconds=300)
    found = await read_standing(orchestrator.database, later)
    assert found.outbox_entries >= 3
    assert found.outbox_oldest_seconds == pytest.approx(300, abs=30)
    assert found.tasks == {("engineering", "queued"): 1, ("engineering", "cancelled"): 1}
    known = {("deploy", "failed"): 7}
    again = await read_standing(orchestrator.database, later, known)
    assert again.tasks == {("engineering", "queued"): 1, **known}, "those are not counted again"
    ahead = await read_standing(orchestrator.database, later - timedelta(hours=1))
    assert ahead.outbox_oldest_seconds == 0.0, "another replica's clock may be ahead"


async def test_a_database_that_goes_is_no_number_and_none_that_is_old(
    orchestrator_on_sqlite: Orchestrator,
) -> None:
    metrics, database = Metrics(), orchestrator_on_sqlite.database
    async with orchestrator_on_sqlite.client(await orchestrator_on_sqlite.token("ada")) as ada:
        await ada.post("/v1/tasks", json=TASK)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"{PREFIX}_{name}", labels)

    def queued() -> float | None:
        return value("tasks", kind="engineering", state="queued")

    watching = asyncio.create_task(
        watch(
            database,
            orchestrator_on_sqlite.now,
            metrics.stands,
            every_seconds=0.01,
            ended_every_seconds=0.05,
        )
    )
    try:
        await until(lambda: queued() == 1.0, "the task is counted")
        async with database.writing() as session:
            await session.execute(text("ALTER TABLE tasks RENAME TO away"))
        await until(lambda: math.isnan(value("outbox_entries") or 0.0), "nobody knows")
        assert queued() is None
        async with database.writing() as session:
            await session.execute(text("ALTER TABLE away RENAME TO tasks"))
        await until(lambda: queued() == 1.0, "the task is counted again")
        async with database.writing() as session:
            await session.execute(text("UPDATE tasks SET state = 'failed'"))

        def failed() -> float | None:
            return value("tasks", kind="engineering", state="failed")

        await until(lambda: (failed(), queued()) == (1.0, None), "ended tasks are counted, too")
    finally:
        watching.cancel()


def test_what_anybody_can_invent_is_no_label_of_its_own() -> None:
    metrics = Metrics()
    for number in range(20):
        metrics.answered(f"METHOD{number}", None, 404, 0.1)
    labels = {"method": "other", "route": "none", "status": "404"}
    assert metrics.registry.get_sample_value(f"{PREFIX}_request_seconds_count", labels) == 20
