"""Model calls through a real gateway to a real upstream, with a real Valkey behind it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import structlog
from redis.asyncio import Redis

from agentsession_core.cluster import Resource
from agentsession_core.mailbox.keys import daily_usage
from agentsession_testing.fake_cluster import secret
from agentsession_testing.gateway import TOKEN, USER, Harness
from agentsession_testing.model_api import DELTA, END, START, STOP, ModelApi
from agentsession_testing.model_gateway import (
    CALL,
    COST,
    KEY,
    MESSAGES,
    error_of,
    gateway,
    model_status,
)
from agentsession_testing.serving import until


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
