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
