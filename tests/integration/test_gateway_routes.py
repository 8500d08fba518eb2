"""What every route of the gateway answers in trouble, and its health, with a real Valkey behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.gateway import (
    HELLO,
    TOKEN,
    Harness,
    client_of,
    problem,
    session_harness,
)

EVENTS = "/v1/runner/turns/turn-1/events"
RESULT = "/v1/runner/turns/turn-1/result"


@pytest.fixture
async def harness(store: MailboxStore, tmp_path: Path) -> AsyncIterator[Harness]:
    async with session_harness(store, tmp_path) as harness:
        yield harness


@pytest.fixture
async def client(harness: Harness) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(harness.app()) as client:
        yield client


ROUTES = [
    ("POST", "/v1/runner/hello"),
    ("GET", "/v1/runner/stream"),
    ("POST", EVENTS),
    ("POST", RESULT),
    ("POST", "/v1/runner/bye"),
]


class TestEveryRoute:
    @pytest.mark.parametrize(("method", "path"), ROUTES)
    async def test_wants_a_token(self, harness: Harness, method: str, path: str) -> None:
        async with client_of(harness.app(), token=None) as client:
            assert problem(await client.request(method, path)) == (401, "token_missing")
            # The model's way of sending it is no way in here.
            answer = await client.request(method, path, headers={"x-api-key": TOKEN})
            assert problem(answer) == (401, "token_missing")

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    async def test_refuses_a_forged_token(self, harness: Harness, method: str, path: str) -> None:
        async with client_of(harness.app(), token="forged") as client:
            answer = await client.request(method, path)
        assert problem(answer) == (401, "token_invalid")
        assert "forged" not in answer.text

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    async def test_says_when_the_api_server_is_away(
        self, harness: Harness, client: httpx.AsyncClient, method: str, path: str
    ) -> None:
        harness.cluster.down = True
        answer = await client.request(method, path)
        assert problem(answer) == (503, "api_server_unavailable")
        assert answer.headers["retry-after"] == "1"

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    async def test_says_when_redis_is_away(
        self, harness: Harness, monkeypatch: pytest.MonkeyPatch, method: str, path: str
    ) -> None:
        async def away(*_args: object, **_kwargs: object) -> None:
            raise RedisConnectionError("refused by the test")

        for call in ("hello", "check_run", "bye"):
            monkeypatch.setattr(harness.store, call, away)
        async with client_of(harness.app()) as client:
            answer = await client.request(method, path, json=HELLO)
        assert problem(answer) == (503, "redis_unavailable")

    async def test_unknown_routes(self, client: httpx.AsyncClient) -> None:
        for path in ("/", "/docs", "/redoc", "/openapi.json", "/v1/runner", "/v1/runner/hello/"):
            assert problem(await client.get(path)) == (404, "no_such_route")
        assert problem(await client.get("/v1/runner/hello"))[0] == 405


class TestHealth:
    async def test_ready(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/readyz")).status_code == 200

    async def test_live_but_not_ready_without_the_api_server(
        self, harness: Harness, client: httpx.AsyncClient
    ) -> None:
        harness.cluster.down = True
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert list(answer.json()["failed"]) == ["kubernetes"]
        assert (await client.get("/healthz")).status_code == 200

    async def test_a_process_that_follows_no_hints_is_not_live(
        self, harness: Harness, client: httpx.AsyncClient
    ) -> None:
        harness.hub.deaf = True
        answer = await client.get("/healthz")
        assert answer.status_code == 503
        assert "hints" in answer.json()["status"]

    async def test_not_ready_without_redis(
        self, harness: Harness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away() -> None:
            raise RedisConnectionError("refused by the test")

        monkeypatch.setattr(harness.store, "ping", away)
        answer = await client.get("/readyz")
        assert answer.json()["failed"] == {"redis": "ConnectionError"}
