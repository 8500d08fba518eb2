"""What no database can keep is refused with a reason, and is no fault of the orchestrator's."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from agentsession_testing.orchestrator import Orchestrator, problem

LONG_NESTING = "[" * 100_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/incidents", {"title": "Down", "project_id": 2**70}),
        ("/v1/incidents", {"title": "Down", "project_id": -(2**70)}),
        ("/v1/incidents", {"title": "Do\x00wn"}),
        ("/v1/incidents", {"title": "Down", "description": "\ud800"}),
        ("/v1/articles", {"title": "a", "body": "\x00"}),
        ("/v1/tasks", {"kind": "engineering", "request": "\x00"}),
        ("/v1/projects", {"name": "a", "description": "\x00"}),
        ("/v1/summaries", {"text": "a\x00b"}),
    ],
)
async def test_values(orchestrator: Orchestrator, path: str, body: dict[str, Any]) -> None:
    async with orchestrator.client(await orchestrator.token("ada")) as ada:
        refused = await ada.post(
            path, content=json.dumps(body), headers={"content-type": "application/json"}
        )
        assert problem(refused) == (422, "invalid")
        said = await ada.request("DELETE", "/v1/projects/1", content=LONG_NESTING)
        assert problem(said) == (422, "body_unexpected")


async def test_cursors(orchestrator: Orchestrator) -> None:
    def cursor(key: object) -> str:
        return base64.urlsafe_b64encode(json.dumps([key]).encode()).decode().rstrip("=")

    async with orchestrator.client(await orchestrator.token("ada")) as ada:
        for path, after in (
            ("/v1/approvals", "\x00"),
            ("/v1/approvals", "0" * 512),
            ("/v1/tokens", cursor("\x00")),
            ("/v1/projects", cursor(2**70)),
            ("/v1/tasks", cursor(-(2**70))),
            ("/v1/projects", cursor(True)),
        ):
            refused = await ada.get(path, params={"cursor": after})
            assert problem(refused) == (422, "cursor_invalid"), (path, after)


async def test_routes_that_are_none(orchestrator: Orchestrator) -> None:
    async with orchestrator.client(await orchestrator.token("ada")) as ada:
        nothing = await ada.get("/v1/nothing")
        assert problem(nothing) == (404, "no_such_route")
        assert "no GET /v1/nothing; GET /v1/openapi.json" in nothing.json()["detail"]
        other = await ada.put("/v1/projects")
        assert problem(other) == (405, "method_not_allowed")
        assert other.headers["allow"] == "GET, POST"


async def test_a_body_of_another_kind(orchestrator: Orchestrator) -> None:
    async with orchestrator.client(await orchestrator.token("ada")) as ada:
        broken = await ada.post(
            "/v1/projects", content="{bad", headers={"content-type": "application/json"}
        )
        form = await ada.post("/v1/projects", data={"name": "todo-app"})
    assert problem(broken) == problem(form) == (422, "invalid")
    assert broken.json()["detail"].startswith("body: no JSON: ")
    assert "content-type: application/json" in form.json()["detail"]
