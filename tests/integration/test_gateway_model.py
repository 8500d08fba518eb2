"""Model calls through a real gateway to a real upstream, with a real Valkey behind it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from agentsession_core.api import TurnOutcome
from agentsession_core.mailbox.keys import MailboxKeys, daily_usage
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import Settings
from agentsession_gateway import limits
from agentsession_gateway.cluster import Resource
from agentsession_gateway.server import build_server
from agentsession_testing.fake_cluster import secret
from agentsession_testing.gateway import RUN, TOKEN, USER, Harness
from agentsession_testing.model_api import DELTA, END, START, STOP, ModelApi
from agentsession_testing.serving import plain_client, plain_server, serving, until

KEY = "sk-ant-the-real-key"
MESSAGES = "/v1/model/anthropic/v1/messages"
CALL = {"model": "claude-x", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}
PRICES = {
    "claude-x": {"input": "3", "output": "15", "cacheRead": "0.30", "cacheWrite": "3.75"},
}
# 10·3 + 7·15 + 1000·0.30 + 100·3.75 US dollars per million, in billionths of a dollar.
COST = 810_000


@pytest.fixture
def api() -> ModelApi:
    return ModelApi()


@pytest.fixture
async def harness(store: MailboxStore, tmp_path: Path, api: ModelApi) -> AsyncIterator[Harness]:
    (tmp_path / "anthropic-api-key").write_text(f"{KEY}\n", encoding="utf-8")
    async with (
        serving(plain_server(api)) as url,
        plain_client(timeout=httpx.Timeout(5, read=1.0)) as upstream,
    ):
        harness = Harness(store, settings_for(url), tmp_path, upstream)
        harness.add_session()
        await harness.begin_run()
        yield harness
        api.hold.set()
        api.last.set()


def settings_for(url: str) -> Settings:
    return Settings.model_validate(
        {"gateway": {"models": {"anthropic": {"baseURL": url}, "prices": PRICES}}}
    )


@asynccontextmanager
async def gateway(harness: Harness, token: str = TOKEN) -> AsyncIterator[httpx.AsyncClient]:
    server = build_server(harness.app(), "127.0.0.1", 0, harness.hub.close)
    async with (
        serving(server) as url,
        plain_client(
            base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=20
        ) as client,
    ):
        yield client


async def model_status(harness: Harness) -> int | None:
    """What the turn's record says about the model, read as the operator will."""
    await harness.store.commit_result(
        USER, run=RUN, turn="turn-1", result=ResultRecord(TurnOutcome.MODEL_ERROR, "")
    )
    last = (await harness.store.state(USER)).last
    assert last is not None
    return last.model_status


def error_of(response: httpx.Response) -> str:
    """The type of an error in the API's own shape."""
    body: dict[str, Any] = response.json()
    assert body["type"] == "error"
    assert body["error"]["message"]
    kind: str = body["error"]["type"]
    return kind


async def test_a_whole_answer(harness: Harness, api: ModelApi, redis_client: Redis) -> None:
    await harness.begin_turn()
    async with gateway(harness) as client:
        answer = await client.post(
            f"{MESSAGES}?beta=true&x=%2F",
            json=CALL,
            headers={
                "anthropic-version": "2023-06-01",
                "anthropic-beta": "a,b",
                "x-api-key": "from-the-pod",
                "x-forwarded-for": "10.0.0.1",
                "cookie": "a=b",
            },
        )
    assert answer.status_code == 200
    assert answer.json()["type"] == "message"
    [seen] = api.seen
    assert (seen.method, seen.path, seen.query) == ("POST", "/v1/messages", "beta=true&x=%2F")
    assert json.loads(seen.body) == CALL
    assert seen.headers["x-api-key"] == KEY
    assert seen.headers["anthropic-version"] == "2023-06-01"
    assert seen.headers["anthropic-beta"] == "a,b"
    assert seen.headers["accept-encoding"] == "identity"
    assert not {"authorization", "x-forwarded-for", "cookie"} & set(seen.headers)
    usage = (await harness.store.state(USER)).usage
    assert (usage.input_tokens, usage.output_tokens, usage.cost_nanousd) == (1110, 7, COST)
    daily = await redis_client.hgetall(daily_usage(USER, "2026-11-23"))
    assert daily[b"input_tokens"] == b"1110"
    assert await model_status(harness) is None


async def test_token_as_api_key(harness: Harness, api: ModelApi) -> None:
    await harness.begin_turn()
    async with gateway(harness) as client:
        del client.headers["authorization"]
        answer = await client.post(MESSAGES, json=CALL, headers={"x-api-key": TOKEN})
    assert answer.status_code == 200
    assert api.seen[0].headers["x-api-key"] == KEY


async def test_the_first_chunk_arrives_before_the_upstream_ends(
    harness: Harness, api: ModelApi
) -> None:
    api.answer = api.stream
    await harness.begin_turn()
    async with (
        gateway(harness) as client,
        client.stream("POST", MESSAGES, json={**CALL, "stream": True}) as answer,
    ):
        chunks = answer.aiter_raw()
        # The upstream waits for `hold`: had anything been buffered, this would wait for ever.
        first = await asyncio.wait_for(anext(chunks), 5)
        assert first == START + DELTA
        api.hold.set()
        assert await asyncio.wait_for(anext(chunks), 5) == END + STOP
        # Counted before the last event left, while the upstream has not yet closed.
        usage = (await harness.store.state(USER)).usage
        assert (usage.input_tokens, usage.output_tokens, usage.cost_nanousd) == (1110, 7, COST)
        api.last.set()
        assert [chunk async for chunk in chunks] == []


async def test_neither_key_nor_token_is_answered_or_logged(harness: Harness, api: ModelApi) -> None:
    await harness.begin_turn()
    api.answer = api.stream
    api.hold.set()
    api.last.set()
    with structlog.testing.capture_logs() as logs:
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json={**CALL, "stream": True})
            refused = await client.post("/v1/model/anthropic/v1/files", json=CALL)
            everything = [answer, refused]
            texts = [
                text
                for response in everything
                for text in (response.text, *response.headers.values())
            ]
    texts.append(json.dumps(logs, default=str))
    assert len(texts) > 4
    assert not [text for text in texts if KEY in text or TOKEN in text]
    [audit] = [line for line in logs if line["event"] == "model_call"]
    assert {name: audit[name] for name in ("session", "user", "model", "status", "turn")} == {
        "session": "ada",
        "user": USER,
        "model": "claude-x",
        "status": 200,
        "turn": "turn-1",
    }
    assert (audit["input_tokens"], audit["output_tokens"]) == (10, 7)
    assert "Hi" not in json.dumps(audit)


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


@asynccontextmanager
async def listening(harness: Harness) -> AsyncIterator[str]:
    server = build_server(harness.app(), "127.0.0.1", 0, harness.hub.close)
    async with serving(server) as url:
        yield url


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


async def raw_status(url: str, method: str, path: str) -> int:
    """The status of a request whose path goes out exactly as written: clients would tidy it."""
    target = httpx.URL(url)
    reader, writer = await asyncio.open_connection(target.host, target.port)
    body = json.dumps(CALL)
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n\r\n{body}".encode()
    )
    line = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/models"), ("POST", "/v1/messages/count_tokens"), ("POST", "/v1/%6dessages")],
)
async def test_the_other_allowed_calls(
    harness: Harness, api: ModelApi, method: str, path: str
) -> None:
    await harness.begin_turn()
    async with gateway(harness) as client:
        body = None if method == "GET" else CALL
        answer = await client.request(method, f"/v1/model/anthropic{path}", json=body)
    assert answer.status_code == 200
    assert api.seen[0].path == path.replace("%6d", "m")


async def test_counting_tokens_costs_nothing(harness: Harness, api: ModelApi) -> None:
    await harness.begin_turn()
    async with gateway(harness) as client:
        await client.post(f"{MESSAGES}/count_tokens", json=CALL)
    assert (await harness.store.state(USER)).usage.input_tokens == 0


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
    await harness.store.purge(USER, session_uid="5e551011")
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


async def test_a_client_that_goes_away_ends_the_upstreams_call(
    harness: Harness, api: ModelApi
) -> None:
    api.answer = api.stream
    await harness.begin_turn()
    async with gateway(harness) as client:
        async with client.stream("POST", MESSAGES, json=CALL) as answer:
            await anext(answer.aiter_raw())
        await until(lambda: api.disconnects == 1, "the upstream sees the disconnect")

        async def counted() -> bool:
            return (await harness.store.state(USER)).usage.input_tokens == 1110

        await until(counted, "what was used is counted")


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


async def test_models_of_the_template(harness: Harness, api: ModelApi) -> None:
    harness.cluster.put(
        Resource.TEMPLATE, "default", {"metadata": {"name": "default"}, "spec": {"models": ["m1"]}}
    )
    await harness.begin_turn()
    async with gateway(harness) as client:
        refused = await client.post(MESSAGES, json=CALL)
        served = await client.post(MESSAGES, json={**CALL, "model": "m1"})
    assert (refused.status_code, error_of(refused)) == (403, "permission_error")
    assert "m1" in refused.json()["error"]["message"]
    assert served.status_code == 200


async def test_network_none_refuses_tools_that_lead_out(harness: Harness, api: ModelApi) -> None:
    await harness.begin_turn()
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    async with gateway(harness) as client:
        answer = await client.post(MESSAGES, json={**CALL, "tools": tools})
    assert (answer.status_code, error_of(answer)) == (403, "permission_error")
    assert api.seen == []


async def test_network_internet_lets_them_through(harness: Harness, api: ModelApi) -> None:
    harness.cluster.put(
        Resource.TEMPLATE,
        "default",
        {"metadata": {"name": "default"}, "spec": {"network": "Internet"}},
    )
    await harness.begin_turn()
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    async with gateway(harness) as client:
        answer = await client.post(MESSAGES, json={**CALL, "tools": tools})
    assert answer.status_code == 200


class TestCredentials:
    async def test_oauth_token(self, harness: Harness, api: ModelApi) -> None:
        (harness.secrets / "anthropic-api-key").unlink()
        (harness.secrets / "anthropic-oauth-token").write_text("oat-1", encoding="utf-8")
        await harness.begin_turn()
        async with gateway(harness) as client:
            await client.post(MESSAGES, json=CALL, headers={"anthropic-beta": "a"})
        headers = api.seen[0].headers
        assert headers["authorization"] == "Bearer oat-1"
        assert headers["anthropic-beta"] == "a,oauth-2025-04-20"
        assert "x-api-key" not in headers

    async def test_a_rotated_key_needs_no_restart(self, harness: Harness, api: ModelApi) -> None:
        await harness.begin_turn()
        async with gateway(harness) as client:
            await client.post(MESSAGES, json=CALL)
            (harness.secrets / "anthropic-api-key").write_text("rotated", encoding="utf-8")
            await client.post(MESSAGES, json=CALL)
        assert [seen.headers["x-api-key"] for seen in api.seen] == [KEY, "rotated"]

    async def test_none(self, harness: Harness, api: ModelApi) -> None:
        (harness.secrets / "anthropic-api-key").unlink()
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert (answer.status_code, error_of(answer)) == (401, "authentication_error")
        assert answer.headers["x-should-retry"] == "false"
        assert api.seen == []
        assert await model_status(harness) == 401

    async def test_the_templates_come_first(self, harness: Harness, api: ModelApi) -> None:
        self.use_template_secret(harness)
        harness.cluster.put(Resource.SECRET, "keys", secret("sk-template"))
        await harness.begin_turn()
        async with gateway(harness) as client:
            for _ in range(2):
                await client.post(MESSAGES, json=CALL)
        assert [seen.headers["x-api-key"] for seen in api.seen] == ["sk-template"] * 2
        assert harness.cluster.calls.count("read SECRET agents/keys") == 1

    @pytest.mark.parametrize(
        ("body", "named"),
        [
            (None, "does not exist"),
            (secret("sk-template", labelled=False), "lacks the label"),
            (secret(""), "no usable value"),
        ],
    )
    async def test_an_unfit_secret_is_not_replaced_by_the_gateways_key(
        self, harness: Harness, api: ModelApi, body: dict[str, Any] | None, named: str
    ) -> None:
        self.use_template_secret(harness)
        if body is not None:
            harness.cluster.put(Resource.SECRET, "keys", body)
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert answer.status_code == 401
        assert named in answer.json()["error"]["message"]
        assert "sk-template" not in answer.text
        assert api.seen == []

    def use_template_secret(self, harness: Harness) -> None:
        spec = {"credentials": {"secretRef": {"name": "keys"}}}
        harness.cluster.put(
            Resource.TEMPLATE, "default", {"metadata": {"name": "default"}, "spec": spec}
        )


class TestUpstreamFailures:
    @pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 429, 500, 529])
    async def test_status_is_passed_on_and_remembered(
        self, harness: Harness, api: ModelApi, status: int
    ) -> None:
        api.answer = api.status(status, retry_after="7", x_internal="no")
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert answer.status_code == status
        assert f"fake {status}" in answer.text
        assert answer.headers["retry-after"] == "7"
        assert "x-internal" not in answer.headers
        assert await model_status(harness) == status
        assert (await harness.store.state(USER)).usage.input_tokens == 0

    async def test_a_success_clears_it(self, harness: Harness, api: ModelApi) -> None:
        api.answer = api.status(529)
        await harness.begin_turn()
        async with gateway(harness) as client:
            await client.post(MESSAGES, json=CALL)
            api.answer = None
            await client.post(MESSAGES, json=CALL)
        assert await model_status(harness) is None

    async def test_refused_connection(self, harness: Harness) -> None:
        harness.settings = settings_for("http://127.0.0.1:9")
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert (answer.status_code, error_of(answer)) == (502, "api_error")
        assert "ConnectError" in answer.text
        assert await model_status(harness) == 502

    async def test_unknown_host(self, harness: Harness) -> None:
        harness.settings = settings_for("http://model-api.invalid")
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert answer.status_code == 502
        assert await model_status(harness) == 502

    async def test_silence_before_the_answer(self, harness: Harness, api: ModelApi) -> None:
        async def silent(_request: Request) -> Response:
            await api.hold.wait()
            return Response()

        api.answer = silent
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert (answer.status_code, error_of(answer)) == (504, "timeout_error")
        assert await model_status(harness) == 504

    async def test_silence_in_the_middle_of_a_stream(self, harness: Harness, api: ModelApi) -> None:
        api.answer = api.stream
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert answer.status_code == 200
        assert answer.content.startswith(START + DELTA)
        assert b"event: error\n" in answer.content
        assert b"timeout_error" in answer.content
        assert await model_status(harness) == 504
        assert (await harness.store.state(USER)).usage.input_tokens == 1110

    async def test_a_cut_stream(self, harness: Harness, api: ModelApi) -> None:
        async def cut(_request: Request) -> Response:
            async def parts() -> AsyncIterator[bytes]:
                yield START[:-9]

            # More is promised than comes.
            return StreamingResponse(
                parts(), media_type="text/event-stream", headers={"content-length": "100000"}
            )

        api.answer = cut
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        head, _, tail = answer.content.partition(b"\n\nevent: error\n")
        assert head == START[:-9]
        assert b"api_error" in tail
        assert await model_status(harness) == 502

    async def test_an_error_inside_a_stream(self, harness: Harness, api: ModelApi) -> None:
        error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n'

        async def overloaded(_request: Request) -> Response:
            return Response(START + error, media_type="text/event-stream")

        api.answer = overloaded
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert answer.content == START + error
        assert await model_status(harness) == 529

    async def test_a_redirect_is_not_followed(self, harness: Harness, api: ModelApi) -> None:
        async def redirect(request: Request) -> Response:
            return RedirectResponse(str(request.url.replace(path="/elsewhere")), 307)

        api.answer = redirect
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert answer.status_code == 502
        assert "redirect" in answer.text
        assert "location" not in answer.headers
        assert len(api.seen) == 1

    async def test_an_upstream_that_compresses_all_the_same(
        self, harness: Harness, api: ModelApi
    ) -> None:
        async def compressed(_request: Request) -> Response:
            return Response(
                gzip.compress(START + DELTA + END + STOP),
                media_type="text/event-stream",
                headers={"content-encoding": "gzip"},
            )

        api.answer = compressed
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert answer.content == START + DELTA + END + STOP
        assert "content-encoding" not in answer.headers
        assert (await harness.store.state(USER)).usage.output_tokens == 7

    async def test_losing_redis_in_the_middle_loses_figures_not_the_answer(
        self, harness: Harness, api: ModelApi, redis_client: Redis
    ) -> None:
        api.answer = api.stream
        await harness.begin_turn()
        async with (
            gateway(harness) as client,
            client.stream("POST", MESSAGES, json=CALL) as answer,
        ):
            chunks = answer.aiter_raw()
            await anext(chunks)
            # Writing a text over the hash makes every later write to it fail.
            await redis_client.set(MailboxKeys(USER).usage, "broken")
            api.hold.set()
            api.last.set()
            assert b"".join([chunk async for chunk in chunks]) == END + STOP
        losses = harness.metrics.registry.get_sample_value(
            "agentsession_gateway_usage_losses_total"
        )
        assert losses == 1
