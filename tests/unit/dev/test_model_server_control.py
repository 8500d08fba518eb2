"""What tests see and steer under ``/_control``: records, waiting, failures, rules."""

from __future__ import annotations

import asyncio
import json

import httpx

from agentsession_dev.model_server.records import MAX_BODIES, MAX_RECORDS
from model_server_client import (
    KEY,
    START,
    FakeTime,
    ask,
    assert_error,
    body,
    client_for,
    records,
    rules,
)


async def test_record_of_a_request(client: httpx.AsyncClient, fake_time: FakeTime) -> None:
    headers = {"cookie": "secret=1", "x-claude-code-session-id": "s-1"}
    text = "é" * 5000
    sent = body(text, tools=[{"name": "Bash"}], stream=True)
    await client.post("/v1/messages?beta=true", json=sent, headers=headers)
    raw = (await client.get("/_control/requests")).text
    assert KEY not in raw
    assert "secret" not in raw
    record = json.loads(raw)["requests"][0]
    assert record["sequence"] == 1
    assert record["received_at"] == fake_time.now == START
    assert (record["method"], record["path"]) == ("POST", "/v1/messages")
    assert record["query"] == "beta=true"
    assert (record["credential"], record["key_valid"]) == ("x-api-key", True)
    assert record["headers"]["x-claude-code-session-id"] == "s-1"
    assert "cookie" not in record["headers"]
    assert {"cookie", "x-api-key"} <= set(record["header_names"])
    assert record["tools"] == ["Bash"]
    assert record["user_texts"] == [text[:4000]]
    assert record["last_user_text_characters"] == 5000
    assert (record["rule"], record["step"]) == ("echo", 0)
    assert (record["status"], record["outcome"]) == (200, "complete")
    kept = await client.get("/_control/requests/1/body")
    assert kept.json() == sent
    assert record["body_bytes"] == len(kept.content)


async def test_ring_is_bounded_and_numbers_go_on(client: httpx.AsyncClient) -> None:
    for _ in range(MAX_RECORDS + 5):
        await client.get("/v1/models")
    found = await records(client)
    assert len(found) == MAX_RECORDS
    assert (found[0]["sequence"], found[-1]["sequence"]) == (6, MAX_RECORDS + 5)
    gone = await client.get(f"/_control/requests/{MAX_RECORDS + 5 - MAX_BODIES}/body")
    assert gone.status_code == 404
    assert (await client.delete("/_control/requests")).status_code == 204
    assert await records(client) == []
    await ask(client)
    assert [record["sequence"] for record in await records(client)] == [MAX_RECORDS + 6]


async def test_waiting_for_the_next_main_request(client: httpx.AsyncClient) -> None:
    await ask(client, "before")
    last = (await client.get("/_control/requests")).json()["last"]
    waiting = asyncio.create_task(records(client, f"?after={last}&kind=main&wait=30"))
    await client.get("/v1/models")
    assert not waiting.done()
    await ask(client, "after")
    assert [record["user_texts"] for record in await waiting] == [["after"]]


async def test_waiting_in_vain(client: httpx.AsyncClient) -> None:
    assert await records(client, "?wait=0.01") == []
    assert (await client.get("/_control/requests?wait=-1")).status_code == 422


async def test_injected_failures_hit_the_next_main_calls(client: httpx.AsyncClient) -> None:
    failure = {"count": 2, "fail": {"status": 429, "retry_after": 3}}
    assert (await client.post("/_control/fail", json=failure)).json() == {"remaining": 2}
    assert (await ask(client, "quota", max_tokens=1)).status_code == 200
    for _ in range(2):
        response = await ask(client)
        assert_error(response, 429, "rate_limit_error", "rate limit")
        assert response.headers["retry-after"] == "3"
    assert (await ask(client)).status_code == 200
    assert (await client.get("/_control/fail")).json() == {"remaining": 0}


async def test_injected_failures_by_text_and_kind(client: httpx.AsyncClient) -> None:
    await client.post("/_control/fail", json={"fail": {"status": 500}, "text": "boom"})
    await client.post("/_control/fail", json={"fail": {"status": 529}, "kind": "side"})
    assert (await ask(client)).status_code == 200
    assert (await ask(client, "boom")).status_code == 500
    assert (await ask(client, "quota", max_tokens=1)).status_code == 529
    await client.post("/_control/fail", json={"fail": {"status": 500}, "count": 9})
    await client.delete("/_control/fail")
    assert (await ask(client)).status_code == 200


async def test_wrong_injection_names_the_field(client: httpx.AsyncClient) -> None:
    response = await client.post("/_control/fail", json={"fail": {"status": 200}})
    assert response.status_code == 422
    assert response.json()["detail"].startswith("fail.status: ")


async def test_failures_written_in_rules_count_down(fake_time: FakeTime) -> None:
    flaky = {
        "name": "flaky",
        "match": {"text": "flaky"},
        "steps": [{"say": "at last", "fail": {"status": 503, "times": 2}}],
    }
    dead = {
        "name": "dead",
        "match": {"text": "dead"},
        "steps": [{"fail": {"status": 402, "message": "pay"}}],
    }
    async with client_for(rules(flaky, dead), fake_time) as client:
        statuses = [(await ask(client, "flaky")).status_code for _ in range(4)]
        assert statuses == [503, 503, 200, 200]
        for _ in range(2):
            assert_error(await ask(client, "dead"), 402, "billing_error", "pay")


async def test_delays_and_stalls_use_the_given_clock(fake_time: FakeTime) -> None:
    slow = {
        "name": "slow",
        "match": {"text": "slow"},
        "steps": [
            {
                "say": "a b c",
                "delay_before_seconds": 5,
                "delay_per_chunk_seconds": 2,
                "fail": {"stall_mid": 100},
            }
        ],
    }
    async with client_for(rules(slow), fake_time) as client:
        await ask(client, "slow", stream=True)
        assert fake_time.slept == [5, 2, 2, 102]
        record = (await records(client))[0]
        assert record["first_byte_at"] - record["received_at"] == 5
        assert record["finished_at"] - record["received_at"] == 111


async def test_rules_can_be_replaced(client: httpx.AsyncClient) -> None:
    replacement = {"rules": [{"name": "new", "steps": [{"say": "new words"}]}]}
    response = await client.put("/_control/rules", json=replacement)
    assert response.json() == {"rules": ["new"]}
    assert (await ask(client)).json()["content"][0]["text"] == "new words"
    wrong = await client.put("/_control/rules", json={"rules": [{"name": "bad"}]})
    assert wrong.status_code == 422
    assert "rule 'bad', field steps" in wrong.json()["detail"]
    assert (await ask(client)).json()["content"][0]["text"] == "new words"
    assert (await client.get("/_control/rules")).json() == replacement
