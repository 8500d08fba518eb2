"""Who calls the orchestrator's API, and what nobody may do who is not asked for by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import select

from agentsession_core.cluster import Resource
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.fake_cluster import review
from agentsession_testing.orchestrator import Orchestrator, problem
from orchestrator_api.tables import ApiToken, Approval, OutboxEntry

PROJECT = {"name": "todo-app"}


@pytest.fixture
async def stage(orchestrator: Orchestrator, store: MailboxStore) -> Orchestrator:
    orchestrator.store = store
    return orchestrator


async def whoami(stage: Orchestrator, token: str | None, **headers: str) -> httpx.Response:
    async with stage.client(token, **headers) as client:
        return await client.get("/v1/tokens/self")


async def test_people(stage: Orchestrator) -> None:
    answer = await whoami(stage, await stage.token("ada", "read"))
    assert answer.json()["user_id"] == "ada"
    assert answer.json()["scopes"] == ["read"]


async def test_runs(stage: Orchestrator) -> None:
    answer = await whoami(stage, await stage.run("Ada"))
    assert answer.json() == {
        "user_id": "Ada",
        "kind": "run",
        "actor": "run:uid-of-Ada-1/1",
        "scopes": ["read", "write"],
    }


async def test_nobody(stage: Orchestrator) -> None:
    assert problem(await whoami(stage, None)) == (401, "token_missing")
    assert problem(await whoami(stage, "forged")) == (401, "token_invalid")
    own = await stage.token("ada")
    forged = own[:-1] + ("A" if own[-1] != "A" else "B")
    assert problem(await whoami(stage, forged)) == (401, "token_invalid")
    assert problem(await whoami(stage, f"orc_{'0' * 12}_{'A' * 43}")) == (401, "token_invalid")


async def test_tokens_that_are_over(stage: Orchestrator) -> None:
    token = await stage.token("ada", days=1)
    stage.moved = timedelta(days=1, seconds=1)
    assert problem(await whoami(stage, token)) == (401, "token_expired")


async def test_what_is_kept_of_a_token(stage: Orchestrator) -> None:
    token = await stage.token("ada")
    await whoami(stage, token)
    async with stage.database.reading() as session:
        row = (await session.scalars(select(ApiToken))).one()
    assert row.last_used_at is not None
    kept = [str(getattr(row, column.name)) for column in ApiToken.__table__.columns]
    assert not any(token[-20:] in value for value in kept)


async def test_the_gateways_token_is_refused(stage: Orchestrator) -> None:
    token = await stage.run("ada")
    pod = "ada-1-r1-abcde"
    stage.cluster.reviews[token] = review(pod, f"{pod}-uid")
    assert problem(await whoami(stage, token)) == (401, "audience_missing")


async def test_a_run_that_is_over(stage: Orchestrator) -> None:
    first = await stage.run("ada")
    assert (await whoami(stage, first)).status_code == 200
    stale = await stage.run("ada", current=False)
    assert problem(await whoami(stage, stale)) == (403, "stale_run")


async def test_redis_has_forgotten_its_runs(stage: Orchestrator, redis_client: Redis) -> None:
    token = await stage.run("ada")
    await redis_client.flushall()
    assert problem(await whoami(stage, token)) == (503, "state_lost")


@pytest.mark.parametrize("kind", ["run", "token"])
async def test_a_forged_user(stage: Orchestrator, kind: str) -> None:
    token = await (stage.run("ada") if kind == "run" else stage.token("ada"))
    forged = await whoami(stage, token, **{"orchestrator-user": "bob"})
    assert problem(forged) == (403, "user_mismatch")
    assert (await whoami(stage, token, **{"orchestrator-user": "ada"})).status_code == 200


async def test_a_token_makes_none_that_can_more(stage: Orchestrator) -> None:
    async with stage.client(await stage.token("ada", "tokens", "read")) as client:
        more = await client.post("/v1/tokens", json={"name": "x", "scopes": ["write"]})
        assert problem(more) == (403, "scope_missing")
        other = {"name": "x", "scopes": ["read"], "user_id": "bob"}
        assert problem(await client.post("/v1/tokens", json=other)) == (403, "scope_missing")
        less = await client.post("/v1/tokens", json={"name": "x", "scopes": ["read"]})
        assert less.status_code == 201
    async with stage.client(await stage.token("root", "tokens", "admin", "read")) as admin:
        made = (await admin.post("/v1/tokens", json=other)).json()
        assert (await whoami(stage, made["token"])).json()["user_id"] == "bob"
        gone = await admin.delete(f"/v1/tokens/{made['id']}")
        assert gone.json() == {"id": made["id"], "made_with_it": []}
    assert problem(await whoami(stage, made["token"])) == (401, "token_revoked")


@pytest.mark.parametrize("wish", [{}, {"days": 90}])
async def test_a_token_makes_none_that_outlives_it(
    stage: Orchestrator, wish: dict[str, Any]
) -> None:
    async with stage.client(await stage.token("ada", "tokens", "read", days=1)) as client:
        body = {"name": "x", "scopes": ["read", "tokens"], **wish}
        made = (await client.post("/v1/tokens", json=body)).json()
        shorter = (await client.post("/v1/tokens", json={**body, "days": 1})).json()
    assert shorter["expires_at"] == made["expires_at"]
    stage.moved = timedelta(days=1, seconds=1)
    assert problem(await whoami(stage, made["token"])) == (401, "token_expired")


@pytest.fixture
async def ada(stage: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    async with stage.client(await stage.token("ada")) as client:
        yield client


@pytest.fixture
async def agent(stage: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    async with stage.client(await stage.run("ada")) as client:
        yield client


async def asked(stage: Orchestrator) -> list[Approval]:
    async with stage.database.reading() as session:
        return list((await session.scalars(select(Approval))).all())


async def project_of(client: httpx.AsyncClient, name: str = "todo-app") -> str:
    made: dict[str, Any] = (await client.post("/v1/projects", json={"name": name})).json()
    return f"/v1/projects/{made['id']}"


async def test_an_agent_asks_once(
    stage: Orchestrator, ada: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    path = await project_of(ada)
    answers = await asyncio.gather(*(agent.delete(path) for _ in range(5)))
    assert {problem(answer) for answer in answers} == {(403, "approval_required")}
    (wish,) = await asked(stage)
    assert {answer.json()["approval"]["id"] for answer in answers} == {wish.id}
    assert (await ada.get(path)).status_code == 200
    async with stage.database.reading() as session:
        told = (await session.scalars(select(OutboxEntry))).all()
    assert [entry.stream for entry in told] == ["user:ada:events"]

    approved = await ada.post(f"/v1/approvals/{wish.id}/approve")
    assert approved.json()["state"] == "approved"
    assert (await agent.delete(path)).status_code == 204
    assert problem(await ada.get(path)) == (404, "project_not_found")
    assert (await ada.get(f"/v1/approvals/{wish.id}")).json()["state"] == "used"


async def test_it_is_bound_to_the_exact_arguments(
    ada: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    one, other = await project_of(ada, "one"), await project_of(ada, "other")
    wish = (await agent.delete(one)).json()["approval"]["id"]
    await ada.post(f"/v1/approvals/{wish}/approve")
    assert problem(await agent.delete(other)) == (403, "approval_required")
    assert problem(await agent.delete(f"{one}?force=1")) == (422, "query_unknown")
    assert (await ada.get(other)).status_code == 200
    assert (await agent.delete(one)).status_code == 204


async def test_an_agreement_is_used_once(ada: httpx.AsyncClient, agent: httpx.AsyncClient) -> None:
    path = await project_of(ada)
    wish = (await agent.delete(path)).json()["approval"]["id"]
    await ada.post(f"/v1/approvals/{wish}/approve")
    answers = await asyncio.gather(*(agent.delete(path) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404]


async def test_it_is_valid_for_15_minutes(
    stage: Orchestrator, ada: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    path = await project_of(ada)
    wish = (await agent.delete(path)).json()["approval"]["id"]
    await ada.post(f"/v1/approvals/{wish}/approve")
    stage.moved = timedelta(minutes=15, seconds=1)
    later = await agent.delete(path)
    assert problem(later) == (403, "approval_required")
    assert later.json()["approval"]["id"] != wish
    late = await ada.post(f"/v1/approvals/{wish}/approve")
    assert problem(late) == (409, "approval_expired")
    states = [item["state"] for item in (await ada.get("/v1/approvals")).json()["items"]]
    assert sorted(states) == ["expired", "pending"]


async def test_a_no_is_a_no(
    stage: Orchestrator, ada: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    path = await project_of(ada)
    wish = (await agent.delete(path)).json()["approval"]["id"]
    await ada.post(f"/v1/approvals/{wish}/deny")
    assert problem(await agent.delete(path)) == (403, "approval_denied")
    assert len(await asked(stage)) == 1
    again = await ada.post(f"/v1/approvals/{wish}/approve")
    assert problem(again) == (409, "approval_decided")


async def test_an_agent_decides_nothing(
    stage: Orchestrator, ada: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    wish = (await agent.delete(await project_of(ada))).json()["approval"]["id"]
    for verb in ("approve", "deny"):
        refused = await agent.post(f"/v1/approvals/{wish}/{verb}")
        assert problem(refused) == (403, "not_for_runs")
    assert [row.state for row in await asked(stage)] == ["pending"]


async def test_nobody_is_asked_about_what_is_not_there(
    stage: Orchestrator, agent: httpx.AsyncClient
) -> None:
    async with stage.client(await stage.token("bob")) as bob:
        path = await project_of(bob)
    assert problem(await agent.delete(path)) == (404, "project_not_found")
    assert problem(await agent.delete(f"{path}?dry_run=true")) == (404, "project_not_found")
    assert await asked(stage) == []


async def test_a_dry_run_asks_nobody(
    stage: Orchestrator, ada: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    path = await project_of(ada)
    assert problem(await agent.delete(f"{path}?dry_run=true")) == (403, "approval_required")
    assert await asked(stage) == []


async def test_a_template_has_people_asked_about_more(stage: Orchestrator) -> None:
    token = await stage.run("ada")
    template = {"metadata": {"name": "default", "namespace": "agents", "uid": "t"}}
    stage.cluster.put(Resource.TEMPLATE, "default", {**template, "spec": {"approvals": "All"}})
    async with stage.client(token) as agent:
        project = (await agent.post("/v1/projects", json=PROJECT)).json()["id"]
        path = f"/v1/projects/{project}/secrets/KEY"
        assert problem(await agent.put(path, json={"value": "x"})) == (403, "approval_required")
        stage.cluster.put(Resource.TEMPLATE, "default", {**template, "spec": {"approvals": 7}})
        assert (await agent.get("/v1/projects")).status_code == 200, "read half a minute ago"
    stage.restart()
    async with stage.client(token) as agent:
        # Going on without it would lift what it asks for.
        unreadable = await agent.put(path, json={"value": "x"})
        assert problem(unreadable) == (503, "template_unreadable")
    stage.restart()
    asked = {**template, "spec": {"approvals": "Destructive"}}
    stage.cluster.put(Resource.TEMPLATE, "default", asked)
    async with stage.client(token) as agent:
        assert (await agent.put(path, json={"value": "x"})).status_code == 200
    stage.strict_approvals = True
    stage.restart()
    async with stage.client(token) as agent:
        # The stricter of the two counts.
        refused = await agent.put(path, json={"value": "y"})
        assert problem(refused) == (403, "approval_required")
