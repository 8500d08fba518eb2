"""A scripted model server in the test's own event loop, with a clock that only sleeping moves."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import httpx

from agentsession_dev.model_server.app import create_app
from agentsession_dev.model_server.rules import RuleBook, parse_rules
from agentsession_dev.model_server.service import Effects

KEY = "sk-test-right"
SECOND_KEY = "sk-second"
HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
START = 1_800_000_000.0


class FakeTime:
    """A clock that advances only by sleeping."""

    def __init__(self) -> None:
        self.now = START
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def rules(*extra: dict[str, Any], models: tuple[str, ...] = ()) -> RuleBook:
    echo = {"name": "echo", "steps": [{"say": "You said: {{ last_user_text }}"}]}
    data = {"rules": [*extra, echo], "models": list(models)}
    return parse_rules(json.dumps(data).encode())


def client_for(book: RuleBook, fake_time: FakeTime) -> httpx.AsyncClient:
    numbers = itertools.count(1)
    app = create_app(
        rules=book,
        api_keys=frozenset({KEY, SECOND_KEY}),
        effects=Effects(
            now=lambda: fake_time.now,
            new_id=lambda prefix: f"{prefix}_{next(numbers)}",
            sleep=fake_time.sleep,
        ),
    )
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://model", headers=HEADERS)


def body(text: str = "hi", **fields: Any) -> dict[str, Any]:
    message = {"role": "user", "content": text}
    return {"model": "claude-x", "max_tokens": 50, "messages": [message]} | fields


async def ask(client: httpx.AsyncClient, text: str = "hi", **fields: Any) -> httpx.Response:
    return await client.post("/v1/messages?beta=true", json=body(text, **fields))


async def records(client: httpx.AsyncClient, query: str = "") -> list[dict[str, Any]]:
    response = await client.get(f"/_control/requests{query}")
    found: list[dict[str, Any]] = response.json()["requests"]
    return found


def assert_error(response: httpx.Response, status: int, kind: str, message: str) -> None:
    assert response.status_code == status
    found = response.json()
    assert found["type"] == "error"
    assert found["error"]["type"] == kind
    assert message in found["error"]["message"]
    assert found["request_id"] == response.headers["request-id"]
