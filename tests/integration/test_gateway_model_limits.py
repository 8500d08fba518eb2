"""What the gateway forwards of model calls: when, how many, how large, and which paths."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import Response

from agentsession_core.api import TurnOutcome
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import ResultRecord
from agentsession_gateway import limits
from agentsession_testing.gateway import RUN, TOKEN, USER, Harness
from agentsession_testing.model_api import ModelApi
from agentsession_testing.model_gateway import (
    CALL,
    MESSAGES,
    error_of,
    gateway,
    listening,
)
from agentsession_testing.serving import until

NOT_ON_THE_LIST = [
    ("POST", "/v1/files"),
    ("POST", "/v1/messages/../files"),
    ("POST", "/v1/messages/%2e%2e/files"),
    ("POST", "/v1/messages%2f..%2ffiles"),
    ("POST", "/../v1/messages"),
    ("POST", "//v1/messages"),
    ("POST", "/v1//messages"),
    ("POST", "/v1/messages/"),
    ("POST", "/v1/messages/batches"),
    ("POST", "/v1/Messages"),
    ("POST", "/v1/messages;x"),
    ("POST", "/v1/messages%00"),
    ("POST", ""),
    ("GET", "/v1/messages"),
    ("PUT", "/v1/messages"),
    ("DELETE", "/v1/models"),
    ("POST", "/v1/models"),
    ("GET", "/v1/models/claude-x"),
    ("GET", "/v1/models/../files"),
    ("GET", "/api/hello"),
    ("POST", "/v1/messages/%2e%2e/%2e%2e/v1/files"),
    ("POST", "/v1/messages/%252e%252e/files"),
    ("POST", "/v1/./messages"),
    ("POST", "/./v1/messages"),
    ("POST", "/v1/messages/."),
    ("POST", "/v1/messages%2f"),
    ("POST", "/v1/messages%20"),
    ("POST", "/v1/messages%0a"),
    ("POST", "/v1/messages%3fx"),
    ("POST", "/v1/messages%23"),
    ("POST", "/v1/messages\\..\\files"),
    ("POST", "/v1/messages/..;/files"),
    ("POST", "/v1/messages@other.example/"),
    ("POST", "/v1/%ef%bc%8emessages"),
    ("POST", "@other.example/v1/messages"),
    ("HEAD", "/v1/models"),
    ("OPTIONS", "/v1/messages"),
    ("PATCH", "/v1/messages"),
]
RAW_TARGETS = [
    # A proxy would be asked so; what follows the host is still compared with the list.
    ("POST", f"http://other.example{MESSAGES}/../files", 404),
    ("POST", "http://other.example/v1/messages", 404),
    ("POST", "//other.example/v1/messages", 404),
    ("POST", f"/.{MESSAGES}", 404),
    ("POST", f"/v1/runner/..{MESSAGES}", 404),
    ("POST", f"/%2e%2e{MESSAGES}", 404),
    ("POST", f"{MESSAGES.replace('anthropic', 'openai')}", 404),
    ("TRACE", MESSAGES, 405),
    ("post", MESSAGES, 405),
    ("CONNECT", "other.example:443", 404),
    ("OPTIONS", "*", 404),
    ("POST", f"http://other.example{MESSAGES}", 404),
]


async def test_everything_else_is_not_found(harness: Harness, api: ModelApi) -> None:
    await harness.begin_turn()
    async with listening(harness) as url:
        found = {
            call: await raw_status(url, call[0], f"/v1/model/anthropic{call[1]}")
            for call in NOT_ON_THE_LIST
        }
    assert found == dict.fromkeys(NOT_ON_THE_LIST, 404)
    assert api.seen == []


async def test_targets_that_only_raw_sockets_send(harness: Harness, api: ModelApi) -> None:
    await harness.begin_turn()
    async with listening(harness) as url:
        found = [
            (method, target, await raw_status(url, method, target))
            for method, target, _ in RAW_TARGETS
        ]
    assert found == RAW_TARGETS
    assert api.seen == []


async def test_a_body_that_does_not_arrive(
    harness: Harness, api: ModelApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.2)
    await harness.begin_turn()
    async with listening(harness) as url:
        target = httpx.URL(url)
        reader, writer = await asyncio.open_connection(target.host, target.port)
        writer.write(
            f"POST {MESSAGES} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Content-Length: 1000\r\n\r\n{".encode()
        )
        line = await asyncio.wait_for(reader.readline(), 10)
        writer.close()
    assert line.split()[1] == b"408"
    assert api.seen == []


@pytest.mark.parametrize(
    ("query", "header"),
    [
        ("?" + "a" * 70_000, ""),
        ("?a=b#c", ""),
        ("?a=\xff", ""),
        ("?a=\x01", ""),
        ("", "anthropic-beta: \xff\xfe"),
        ("", "user-agent: \x80"),
        ("", "content-length: 5"),
    ],
    ids=["long", "fragment", "not ASCII", "control", "beta", "agent", "second length"],
)
async def test_what_cannot_be_passed_on_is_a_bad_request(
    harness: Harness, api: ModelApi, query: str, header: str
) -> None:
    await harness.begin_turn()
    async with listening(harness) as url:
        assert await raw_status(url, "POST", MESSAGES + query, header) == 400
    assert api.seen == []


async def raw_status(url: str, method: str, path: str, header: str = "") -> int:
    """The status of a request whose path goes out exactly as written: clients would tidy it."""
    target = httpx.URL(url)
    reader, writer = await asyncio.open_connection(target.host, target.port)
    body = json.dumps(CALL)
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"{header or 'x: y'}\r\nConnection: close\r\n\r\n{body}".encode("latin-1")
    )
    line = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


async def test_only_while_a_turn_runs_and_shortly_after(
    harness: Harness, api: ModelApi, redis_client: Redis
) -> None:
    async with gateway(harness) as client:
        answer = await client.post(MESSAGES, json=CALL)
        assert (answer.status_code, error_of(answer)) == (403, "permission_error")
        await harness.begin_turn()
        assert (await client.post(MESSAGES, json=CALL)).status_code == 200
        await harness.store.commit_result(
            USER, run=RUN, turn="turn-1", result=ResultRecord(TurnOutcome.SUCCEEDED, "")
        )
        assert (await client.post(MESSAGES, json=CALL)).status_code == 200
        finished = (await harness.store.state(USER)).now - 62
        await redis_client.hset(MailboxKeys(USER).last, "finished_at", str(finished))
        assert (await client.post(MESSAGES, json=CALL)).status_code == 403
    assert len(api.seen) == 2


async def test_not_for_a_stale_run_or_an_unknown_token(harness: Harness, api: ModelApi) -> None:
    await harness.begin_turn()
    async with gateway(harness, token="forged") as client:
        answer = await client.post(MESSAGES, json=CALL)
        assert (answer.status_code, error_of(answer)) == (401, "authentication_error")
    await harness.store.end_mailbox(USER, session_uid="5e551011", text="gone")
    async with gateway(harness) as client:
        answer = await client.post(MESSAGES, json=CALL)
        assert (answer.status_code, error_of(answer)) == (403, "permission_error")
        assert "stale_run" in answer.text
    assert api.seen == []


async def test_eight_calls_at_once(harness: Harness, api: ModelApi) -> None:
    api.answer = api.stream
    await harness.begin_turn()
    streaming = {**CALL, "stream": True}
    async with gateway(harness) as client, AsyncExitStack() as open_calls:
        for _ in range(8):
            await open_calls.enter_async_context(client.stream("POST", MESSAGES, json=streaming))
        ninth = await client.post(MESSAGES, json=streaming)
        assert (ninth.status_code, error_of(ninth)) == (429, "rate_limit_error")
        assert ninth.headers["retry-after"] == "1"
        assert len(api.seen) == 8
        await open_calls.aclose()
        api.answer = None

        async def served() -> bool:
            return (await client.post(MESSAGES, json=CALL)).status_code == 200

        await until(served, "a slot is free again")


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
async def test_a_body_over_the_limit(harness: Harness, api: ModelApi, declared: bool) -> None:
    await harness.begin_turn()
    size = 32 * 1024 * 1024 + 1

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(33):
            yield b" " * 1024 * 1024

    async with gateway(harness) as client:
        answer = await client.post(MESSAGES, content=b" " * size if declared else chunks())
    assert (answer.status_code, error_of(answer)) == (413, "request_too_large")
    assert api.seen == []


async def test_a_large_body_under_the_limit(harness: Harness, api: ModelApi) -> None:
    await harness.begin_turn()
    large = {**CALL, "messages": [{"role": "user", "content": "x" * 20_000_000}]}
    async with gateway(harness) as client:
        assert (await client.post(MESSAGES, json=large)).status_code == 200
    assert json.loads(api.seen[0].body) == large


async def test_one_sessions_bodies_do_not_fill_the_process(harness: Harness, api: ModelApi) -> None:
    async def held(_request: Request) -> Response:
        await api.hold.wait()
        return Response()

    api.answer = held
    harness.upstream.timeout = httpx.Timeout(60)
    await harness.begin_turn()
    large = json.dumps({**CALL, "x": "x" * 30_000_000})
    async with gateway(harness) as client:
        first = asyncio.create_task(client.post(MESSAGES, content=large))
        await until(lambda: len(api.seen) == 1, "the first call is at the upstream", 30)
        second = await client.post(MESSAGES, content=large)
        assert (second.status_code, error_of(second)) == (429, "rate_limit_error")
        assert (await client.post("/v1/runner/bye")).status_code == 200
        api.hold.set()
        assert (await first).status_code == 200
        api.answer = None
        assert (await client.post(MESSAGES, content=large)).status_code == 200
    assert json.loads(api.seen[-1].body)["x"] == "x" * 30_000_000
    assert api.seen[-1].headers["content-length"] == str(len(large))
    assert "transfer-encoding" not in api.seen[-1].headers
