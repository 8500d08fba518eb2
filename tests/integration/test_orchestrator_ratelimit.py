"""Who asks too often is refused, and told when to ask again."""

from __future__ import annotations

import time

import pytest

from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import RateLimitSettings
from agentsession_testing.orchestrator import Orchestrator, problem
from orchestrator_api.metrics import Metrics
from orchestrator_api.ratelimits import RateLimits

LIMIT = RateLimitSettings(requests_per_minute=1, burst=3)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def stage(orchestrator_on_sqlite: Orchestrator, metrics: Metrics) -> Orchestrator:
    orchestrator_on_sqlite.rate_limits = RateLimits(LIMIT, time.monotonic, metrics.rate_limited)
    return orchestrator_on_sqlite


async def test_one_too_many(stage: Orchestrator, metrics: Metrics) -> None:
    async with (
        stage.client(await stage.token("ada")) as ada,
        stage.client(await stage.token("ada")) as other,
    ):
        for _ in range(3):
            assert (await ada.get("/v1/projects")).status_code == 200
        refused = await ada.post("/v1/projects", json={"name": "todo-app"})
        assert problem(refused) == (429, "rate_limited")
        assert 55 <= int(refused.headers["retry-after"]) <= 60
        assert refused.json()["retry_after"] == int(refused.headers["retry-after"])
        assert (await other.get("/v1/projects")).json()["items"] == []
    # Who calls is asked first: nobody can use up anybody's requests.
    async with stage.client(None) as nobody:
        for _ in range(5):
            assert problem(await nobody.get("/v1/projects"))[0] == 401
    count = metrics.registry.get_sample_value(
        "agentsession_orchestrator_rate_limited_total", {"caller": "api-token"}
    )
    assert count == 1


async def test_all_runs_of_a_user_together(
    stage: Orchestrator, store: MailboxStore, metrics: Metrics
) -> None:
    stage.store = store
    async with stage.client(await stage.run("ada")) as agent:
        for _ in range(3):
            assert (await agent.get("/v1/projects")).status_code == 200
    # The next run of the session is no way to begin anew.
    async with stage.client(await stage.run("ada")) as agent:
        assert problem(await agent.get("/v1/projects")) == (429, "rate_limited")
    async with stage.client(await stage.token("ada")) as person:
        assert (await person.get("/v1/projects")).status_code == 200


async def test_workers_say_what_they_have_to_say(stage: Orchestrator) -> None:
    nodes = {"worker": "w-0", "graph": "devops", "nodes": ["deployer"]}
    async with stage.client(await stage.token("workers", "worker")) as worker:
        for _ in range(10):
            assert (await worker.post("/v1/work/nodes", json=nodes)).status_code == 204
