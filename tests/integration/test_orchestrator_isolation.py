"""Every route as another user, as a run and without rights. A new route cannot be forgotten here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from redis.asyncio import Redis

from agentsession_core.mailbox.publishing import Publishing
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.canned_orchestrator import ROUTES
from agentsession_testing.orchestrator import Orchestrator, problem
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Gate
from orchestrator_api.rights import Approval, Operation

MARK = "of-ada-alone"
DESTRUCTIVE = {"project.delete", "allocation.release", "deploy.rollback", "secret.unset"}


def operation_of(route: APIRoute) -> Operation:
    gates = [
        dependency.call
        for dependency in route.dependant.dependencies
        if isinstance(dependency.call, Gate)
    ]
    assert len(gates) == 1, f"{route.path} has no gate of its own"
    return gates[0].operation


def method_of(route: APIRoute) -> str:
    assert route.methods
    (method,) = route.methods
    return method


def body_of(route: APIRoute, app: Any) -> dict[str, Any] | None:
    described = app.openapi()["paths"][route.path][method_of(route).lower()]
    if "requestBody" not in described:
        return None
    reference = described["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    model = app.openapi()["components"]["schemas"][reference.rpartition("/")[2]]
    example: dict[str, Any] = json.loads(json.dumps(model["examples"][0]))
    return example


@pytest.fixture
async def stage(
    orchestrator: Orchestrator, store: MailboxStore, redis_client: Redis
) -> Orchestrator:
    orchestrator.store = store
    orchestrator.streams = Publishing(redis_client)
    return orchestrator


@pytest.fixture
async def things(stage: Orchestrator) -> dict[str, Any]:
    """One of everything, Ada's: by the names that paths have for it."""
    admin = await stage.token("root", *(scope.value for scope in Scope))
    async with stage.client(admin) as root:
        server = {"name": "vps-1", "kind": "ssh", "host": "h", "first_port": 1, "last_port": 9}
        assert (await root.post("/v1/servers", json=server)).status_code == 201
    async with (
        stage.client(await stage.token("ada")) as ada,
        stage.client(await stage.run("ada")) as agent,
    ):

        async def made(path: str, body: dict[str, Any], method: str = "POST") -> dict[str, Any]:
            response = await ada.request(method, path, json=body)
            assert response.status_code in (200, 201), response.text
            found: dict[str, Any] = response.json()
            return found

        project = await made(
            "/v1/projects", {"name": MARK, "repository_url": "https://git.example.com/x"}
        )
        path = f"/v1/projects/{project['id']}"
        await made(f"{path}/secrets/{NAME}", {"value": MARK}, "PUT")
        allocation = await made(f"{path}/allocations", {"service": MARK})
        deployment = await made(f"{path}/deployments", {})
        incident = await made("/v1/incidents", {"title": MARK, "project_id": project["id"]})
        article = await made("/v1/articles", {"title": MARK, "body": MARK})
        token = await made("/v1/tokens", {"name": MARK, "scopes": ["write"]})
        wish = await agent.delete(f"/v1/allocations/{allocation['id']}")
    async with stage.client(admin) as root:
        asked = {"kind": "clear-state", "task_id": deployment["task_id"]}
        command = (await root.post("/v1/graphs/commands", json=asked)).json()
    return {
        "project_id": project["id"],
        "name": NAME,
        "service": MARK,
        "server_name": "vps-1",
        "allocation_id": allocation["id"],
        "task_id": deployment["task_id"],
        "incident_id": incident["id"],
        "article_id": article["id"],
        "token_id": token["id"],
        "command_id": command["id"],
        "approval_id": wish.json()["approval"]["id"],
    }


NAME = "DATABASE_URL"


def path_of(route: APIRoute, things: dict[str, Any]) -> str:
    # A route with a name that is not among them fails here: add one of it to `things`.
    return route.path.format_map(things)


async def call(
    client: httpx.AsyncClient, route: APIRoute, stage: Orchestrator, things: dict[str, Any]
) -> httpx.Response:
    body = body_of(route, stage.app)
    if body is not None and "project_id" in body:
        body["project_id"] = things["project_id"]
    return await client.request(method_of(route), path_of(route, things), json=body)


@pytest.fixture
async def bob(stage: Orchestrator) -> AsyncIterator[httpx.AsyncClient]:
    async with stage.client(await stage.token("bob")) as client:
        yield client


async def test_as_another_user(
    stage: Orchestrator, things: dict[str, Any], bob: httpx.AsyncClient
) -> None:
    async with stage.client(await stage.run("bob")) as agent:
        for client in (bob, agent):
            for route in ROUTES:
                response = await call(client, route, stage, things)
                where = f"{method_of(route)} {route.path}: {response.status_code} {response.text}"
                body = body_of(route, stage.app) or {}
                if "{" in route.path or "project_id" in body:
                    assert response.status_code in (403, 404), where
                    problem(response)
                assert MARK not in response.text, where


async def test_nothing_of_adas_was_changed_by_it(
    stage: Orchestrator, things: dict[str, Any], bob: httpx.AsyncClient
) -> None:
    async with stage.client(await stage.token("ada")) as ada:
        paths = [
            path_of(route, things)
            for route in ROUTES
            if method_of(route) == "GET" and operation_of(route).scope is Scope.READ
        ]
        before = {path: (await ada.get(path)).text for path in paths}
        for route in ROUTES:
            await call(bob, route, stage, things)
        after = {path: (await ada.get(path)).text for path in paths}
    shared = {"/v1/health"}
    assert {path: after[path] for path in paths if path not in shared} == {
        path: before[path] for path in paths if path not in shared
    }


async def test_what_is_asked_for_by_name_is_ones_own(
    stage: Orchestrator, things: dict[str, Any], bob: httpx.AsyncClient
) -> None:
    query = {"name": MARK}
    async with stage.client(await stage.run("bob")) as agent:
        for client in (bob, agent):
            assert (await client.get("/v1/projects", params=query)).json()["items"] == []
    async with stage.client(await stage.token("ada")) as ada:
        (found,) = (await ada.get("/v1/projects", params=query)).json()["items"]
    assert found["id"] == things["project_id"]


async def test_without_a_token(stage: Orchestrator, things: dict[str, Any]) -> None:
    async with stage.client(None) as nobody:
        for route in ROUTES:
            response = await call(nobody, route, stage, things)
            assert problem(response) == (401, "token_missing"), route.path


async def test_with_a_token_that_only_reads(stage: Orchestrator, things: dict[str, Any]) -> None:
    async with stage.client(await stage.token("ada", "read")) as reader:
        for route in ROUTES:
            response = await call(reader, route, stage, things)
            if operation_of(route).scope is Scope.READ:
                assert response.status_code == 200, (route.path, response.text)
            else:
                assert problem(response) == (403, "scope_missing"), route.path


async def test_as_an_agent(stage: Orchestrator, things: dict[str, Any]) -> None:
    """No administration, no tokens, no decisions; what destroys is asked about."""
    async with stage.client(await stage.run("ada")) as agent:
        for route in ROUTES:
            operation = operation_of(route)
            if not operation.runs:
                assert problem(await call(agent, route, stage, things))[0] == 403, route.path
            elif operation.approval is Approval.ALWAYS and operation.name != "deploy.rollback":
                said = problem(await call(agent, route, stage, things))
                # A project with a task that has not ended is deleted by nobody.
                assert said in ((403, "approval_required"), (409, "project_busy")), route.path


def test_what_no_agent_does_and_what_is_asked_about() -> None:
    operations = {operation_of(route) for route in ROUTES}
    assert {o.name for o in operations if o.approval is Approval.ALWAYS} == DESTRUCTIVE
    assert {o.name for o in operations if o.approval is Approval.STRICT} == {
        "deploy.trigger",
        "secret.set",
    }
    beyond = {Scope.ADMIN, Scope.TOKENS, Scope.APPROVE, Scope.WORKER}
    assert {o.name for o in operations if o.scope in beyond and o.runs} == set()
    names = [operation_of(route).name for route in ROUTES]
    assert len(set(names)) == len(names)


def test_what_changes_something_is_known_to() -> None:
    for route in ROUTES:
        assert operation_of(route).changes is (method_of(route) != "GET"), route.path


def test_every_body_has_an_example(orchestrator_on_sqlite: Orchestrator) -> None:
    for route in ROUTES:
        example = body_of(route, orchestrator_on_sqlite.app)
        if example is not None and route.body_field is not None:
            _, problems = route.body_field.validate(example, {}, loc=("body",))
            assert problems == [], route.path


def test_changes_can_be_tried_without_changing() -> None:
    for route in ROUTES:
        if method_of(route) != "GET" and operation_of(route).scope is not Scope.WORKER:
            assert "dry_run" in [field.name for field in route.dependant.query_params], route.path
