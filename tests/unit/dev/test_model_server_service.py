"""The Messages API over HTTP in one process: answers, errors, keys, side calls."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from model_server_client import (
    KEY,
    FakeTime,
    ask,
    assert_error,
    body,
    client_for,
    records,
    rules,
)


async def test_answer_in_one_piece(client: httpx.AsyncClient) -> None:
    response = await ask(client)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    message = response.json()
    assert message["content"] == [{"type": "text", "text": "You said: hi"}]
    assert (message["role"], message["stop_reason"]) == ("assistant", "end_turn")
    assert message["model"] == "claude-x"


async def test_answer_as_a_stream(client: httpx.AsyncClient) -> None:
    response = await ask(client, stream=True)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    names = [line for line in response.text.splitlines() if line.startswith("event: ")]
    assert names[0] == "event: message_start"
    assert names[-1] == "event: message_stop"


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"x-api-key": "wrong"}, "invalid x-api-key"),
        ({"x-api-key": "", "authorization": "Bearer wrong"}, "Invalid bearer token"),
        ({"x-api-key": ""}, "x-api-key header is required"),
        ({"x-api-key": "wrong", "authorization": f"Bearer {KEY}"}, "invalid x-api-key"),
        ({"x-api-key": "schlüssel".encode()}, "invalid x-api-key"),
    ],
)
async def test_wrong_key(client: httpx.AsyncClient, headers: dict[str, Any], message: str) -> None:
    response = await client.post("/v1/messages", json=body(), headers=headers)
    assert_error(response, 401, "authentication_error", message)
    assert (await records(client))[0]["key_valid"] is False


@pytest.mark.parametrize(
    "headers",
    [{"x-api-key": "sk-second"}, {"x-api-key": "", "authorization": f"bearer {KEY}"}],
)
async def test_right_keys(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    response = await client.post("/v1/messages", json=body(), headers=headers)
    assert response.status_code == 200


async def test_version_header_is_required(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/messages", json=body(), headers={"anthropic-version": ""})
    assert_error(response, 400, "invalid_request_error", "anthropic-version: header is required")


async def test_invalid_request(client: httpx.AsyncClient) -> None:
    response = await ask(client, max_tokens="many")
    assert_error(response, 400, "invalid_request_error", "max_tokens: ")


async def test_body_over_the_limit(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/messages", content=b" " * (32 * 1024 * 1024 + 1))
    assert_error(response, 413, "request_too_large", "maximum size")


async def test_models(fake_time: FakeTime) -> None:
    async with client_for(rules(models=("m-1", "m-2")), fake_time) as client:
        listed = (await client.get("/v1/models")).json()
        assert [entry["id"] for entry in listed["data"]] == ["m-1", "m-2"]
        assert (await client.get("/v1/models/m-2")).json()["id"] == "m-2"
        assert_error(await client.get("/v1/models/m-3"), 404, "not_found_error", "m-3")
        assert_error(await ask(client, model="m-3"), 404, "not_found_error", "model: m-3")
        assert (await ask(client, model="m-1")).status_code == 200


async def test_count_tokens(client: httpx.AsyncClient) -> None:
    sent = {"model": "m", "messages": [{"role": "user", "content": "x" * 4000}]}
    response = await client.post("/v1/messages/count_tokens", json=sent)
    assert response.json()["input_tokens"] >= 1000
    record = (await records(client))[0]
    assert (record["kind"], record["purpose"]) == ("side", "count_tokens")


async def test_hello_and_health_need_no_key(client: httpx.AsyncClient) -> None:
    for method, path in (("HEAD", "/api/hello"), ("GET", "/api/hello"), ("GET", "/healthz")):
        response = await client.request(method, path, headers={"x-api-key": ""})
        assert response.status_code == 200
    assert [record["path"] for record in await records(client)] == ["/api/hello"] * 2


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/messages"), ("POST", "/v1/files"), ("GET", "/")]
)
async def test_unknown_routes_are_recorded(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    response = await client.request(method, path)
    assert_error(response, 404, "not_found_error", f"{method} {path}")
    assert (await records(client))[0]["path"] == path


async def test_side_calls_do_not_meet_the_rules(client: httpx.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    output = {"format": {"type": "json_schema", "schema": schema}}
    titled = (await ask(client, output_config=output)).json()
    assert json.loads(titled["content"][0]["text"]) == {"title": "Scripted session"}
    quota = (await ask(client, "quota", max_tokens=1)).json()
    assert quota["stop_reason"] == "max_tokens"
    await ask(client)
    assert [record["purpose"] for record in await records(client)] == ["title", "quota", "turn"]
    assert len(await records(client, "?kind=main")) == 1
    assert len(await records(client, "?kind=side")) == 2


async def test_stamped_chunks_say_when_they_left() -> None:
    time = FakeTime()
    step = {"say": "one two", "delay_per_chunk_seconds": 2, "stamp_chunks": True}
    async with client_for(rules({"name": "stamped", "steps": [step]}), time) as client:
        began = time.now
        response = await ask(client, stream=True)
    lines = response.text.splitlines()
    stamped = [
        (float(line.removeprefix(": ")), lines[index + 1])
        for index, line in enumerate(lines)
        if line.startswith(": ")
    ]
    event = "event: content_block_delta"
    assert stamped == [(began + 2, event), (began + 4, event)]
