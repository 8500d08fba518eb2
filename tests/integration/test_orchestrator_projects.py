"""Projects over HTTP, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from agentsession_testing.orchestrator import Orchestrator, problem
from orchestrator_api.tables import AuditEntry

TODO = {"name": "todo-app", "description": "Things to do"}


async def created(client: httpx.AsyncClient, **wish: Any) -> dict[str, Any]:
    response = await client.post("/v1/projects", json={**TODO, **wish})
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def test_a_life(ada: httpx.AsyncClient, orchestrator: Orchestrator) -> None:
    made = await created(ada)
    path = f"/v1/projects/{made['id']}"
    assert made["status"] == "created"
    assert made["user_id"] == "ada"
    assert (await ada.get(path)).json() == made

    changed = await ada.patch(path, json={"description": "More"})
    assert changed.json()["description"] == "More"
    assert changed.json()["name"] == "todo-app"
    assert changed.json()["updated_at"] >= made["updated_at"]
    assert (await ada.get(f"{path}/status")).json()["status"] == "created"

    assert (await ada.delete(path)).status_code == 204
    assert problem(await ada.get(path)) == (404, "project_not_found")
    assert problem(await ada.delete(path)) == (404, "project_not_found")
    async with orchestrator.database.reading() as session:
        log = (await session.scalars(select(AuditEntry).order_by(AuditEntry.id))).all()
    assert [(entry.action, entry.target, entry.user_id) for entry in log] == [
        ("project.create", f"project/{made['id']}", "ada"),
        ("project.update", f"project/{made['id']}", "ada"),
        ("project.delete", f"project/{made['id']}", "ada"),
    ]


@pytest.mark.parametrize(
    "wish",
    [
        {"name": "Todo"},
        {"name": "-a"},
        {"name": "2048"},
        {"name": "a" * 64},
        {"nmae": "todo"},
        {"repository_url": "file:///etc/passwd"},
        {"repository_url": "https://ada:secret@git.example.com/x"},
        {"repository_url": "https://ghp_secret@git.example.com/x"},
        {"repository_url": "ssh://git:secret@git.example.com/x"},
        {"description": "x" * 20_001},
        {"user_id": "bob"},
    ],
)
async def test_wishes_that_are_refused(ada: httpx.AsyncClient, wish: dict[str, Any]) -> None:
    response = await ada.post("/v1/projects", json={**TODO, **wish})
    assert problem(response) == (422, "invalid")
    assert "secret" not in response.text


async def test_a_name_is_taken_once(ada: httpx.AsyncClient, orchestrator: Orchestrator) -> None:
    made = await created(ada)
    again = await ada.post("/v1/projects", json=TODO)
    assert problem(again) == (409, "project_exists")
    assert again.json()["project_id"] == made["id"]
    other = await created(ada, name="other")
    taken = await ada.patch(f"/v1/projects/{other['id']}", json={"name": "todo-app"})
    assert problem(taken) == (409, "project_exists")
    async with orchestrator.client(await orchestrator.token("bob")) as bob:
        await created(bob)


async def test_many_at_once_make_one(ada: httpx.AsyncClient) -> None:
    responses = await asyncio.gather(*(ada.post("/v1/projects", json=TODO) for _ in range(8)))
    assert sorted(response.status_code for response in responses) == [201, *[409] * 7]


async def test_pages(ada: httpx.AsyncClient) -> None:
    names = [f"p{number}" for number in range(5)]
    for name in names:
        await created(ada, name=name)
    found: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await ada.get("/v1/projects", params=query)).json()
        found += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert found == names
    assert cursor is None


async def test_by_name(ada: httpx.AsyncClient, orchestrator: Orchestrator) -> None:
    async with orchestrator.client(await orchestrator.token("bob")) as bob:
        await created(bob)
        await created(bob, name="of-bob-alone")
    made = await created(ada)
    await created(ada, name="todo-app-2")

    async def named(name: str) -> list[int]:
        page = (await ada.get("/v1/projects", params={"name": name})).json()
        assert page["next_cursor"] is None
        return [item["id"] for item in page["items"]]

    assert await named("todo-app") == [made["id"]]
    for name in ("todo", "todo-ap%", "TODO-APP", "", "of-bob-alone", str(made["id"])):
        assert await named(name) == []
    refused = await ada.get("/v1/projects", params={"name": "x" * 64})
    assert problem(refused) == (422, "invalid")


async def test_a_name_is_never_digits_alone(ada: httpx.AsyncClient) -> None:
    refused = await ada.patch(f"/v1/projects/{(await created(ada))['id']}", json={"name": "42"})
    assert problem(refused) == (422, "invalid")
    assert "digits alone" in refused.json()["detail"]
    assert (await created(ada, name="2048-game"))["name"] == "2048-game"


@pytest.mark.parametrize("cursor", ["x", "WyJhIl0", "W10", "e30", "ÿ"])
async def test_cursors_that_nobody_gave(ada: httpx.AsyncClient, cursor: str) -> None:
    response = await ada.get("/v1/projects", params={"cursor": cursor})
    assert problem(response) == (422, "cursor_invalid")


async def test_versions(ada: httpx.AsyncClient) -> None:
    path = f"/v1/projects/{(await created(ada))['id']}"
    seen = (await ada.get(path)).headers["etag"]
    assert (await ada.get(path, headers={"if-none-match": seen})).status_code == 304
    # A proxy that packs the answers makes its tags weak.
    for known in (f"W/{seen}", f'"9", {seen}'):
        assert (await ada.get(path, headers={"if-none-match": known})).status_code == 304
    either = {"if-match": f'"9", {seen}'}
    first = await ada.patch(path, json={"description": "1"}, headers=either)
    assert first.headers["etag"] != seen
    late = await ada.patch(path, json={"description": "2"}, headers={"if-match": seen})
    assert problem(late) == (412, "version_conflict")
    assert problem(await ada.delete(path, headers={"if-match": seen})) == (412, "version_conflict")
    assert (await ada.get(path)).json()["description"] == "1"


async def test_the_same_request_again(ada: httpx.AsyncClient) -> None:
    key = {"idempotency-key": "once"}
    first, second = await asyncio.gather(
        *(ada.post("/v1/projects", json=TODO, headers=key) for _ in range(2))
    )
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert first.headers["etag"] == second.headers["etag"]
    other = await ada.post("/v1/projects", json={"name": "other"}, headers=key)
    assert problem(other) == (409, "idempotency_key_reused")
    assert len((await ada.get("/v1/projects")).json()["items"]) == 1


async def test_a_key_is_a_users_own(ada: httpx.AsyncClient, orchestrator: Orchestrator) -> None:
    key = {"idempotency-key": "once"}
    await ada.post("/v1/projects", json=TODO, headers=key)
    async with orchestrator.client(await orchestrator.token("bob")) as bob:
        made = await bob.post("/v1/projects", json=TODO, headers=key)
    assert made.json()["user_id"] == "bob"


async def test_a_dry_run_changes_nothing(
    ada: httpx.AsyncClient, orchestrator: Orchestrator
) -> None:
    said = await ada.post("/v1/projects?dry_run=true", json=TODO)
    assert said.status_code == 201
    assert said.headers["orchestrator-dry-run"] == "true"
    assert (await ada.get("/v1/projects")).json()["items"] == []
    async with orchestrator.database.reading() as session:
        assert (await session.scalars(select(AuditEntry))).all() == []


@pytest.mark.parametrize("word", ["true", "True", "TRUE", "1", "yes", "on"])
async def test_every_yes_is_a_dry_run(ada: httpx.AsyncClient, word: str) -> None:
    path = f"/v1/projects/{(await created(ada))['id']}"
    tried = await ada.delete(f"{path}?dry_run={word}")
    assert (tried.status_code, tried.headers["orchestrator-dry-run"]) == (204, "true")
    assert (await ada.get(path)).status_code == 200


@pytest.mark.parametrize("words", ["", "maybe", "true&dry_run=false", "false&dry_run=true"])
async def test_what_is_no_answer_changes_nothing(ada: httpx.AsyncClient, words: str) -> None:
    path = f"/v1/projects/{(await created(ada))['id']}"
    assert problem(await ada.delete(f"{path}?dry_run={words}")) == (422, "invalid")
    assert (await ada.get(path)).status_code == 200


async def test_a_no_is_no_dry_run(ada: httpx.AsyncClient) -> None:
    path = f"/v1/projects/{(await created(ada))['id']}"
    assert (await ada.delete(f"{path}?dry_run=False")).status_code == 204
    assert problem(await ada.get(path)) == (404, "project_not_found")


@pytest.mark.parametrize("number", ["0", "-1", str(2**63), "1.5", "x"])
async def test_numbers_that_no_project_has(ada: httpx.AsyncClient, number: str) -> None:
    assert problem(await ada.get(f"/v1/projects/{number}"))[0] == 422


async def test_bodies_that_are_too_big(ada: httpx.AsyncClient) -> None:
    big = await ada.post("/v1/projects", content=b" " * (1024 * 1024 + 1))
    assert problem(big) == (413, "body_too_large")

    async def chunks() -> AsyncIterator[bytes]:
        yield b"{}"

    assert problem(await ada.post("/v1/projects", content=chunks())) == (411, "length_required")


async def test_request_ids(ada: httpx.AsyncClient) -> None:
    known = await ada.get("/v1/projects/7", headers={"x-request-id": "of-mine.1"})
    assert known.json()["request_id"] == known.headers["x-request-id"] == "of-mine.1"
    unfit = await ada.get("/v1/projects/7", headers={"x-request-id": "a b"})
    assert unfit.json()["request_id"] not in ("", "a b")


async def test_routes_that_are_not_there(ada: httpx.AsyncClient) -> None:
    assert problem(await ada.get("/v1/nothing")) == (404, "no_such_route")
    assert problem(await ada.put("/v1/projects")) == (405, "method_not_allowed")
