"""A turn's requests over the application, with a real Valkey behind it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from agentsession_core.api import LaunchType
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.gateway import (
    RUN,
    SESSION_UID,
    USER,
    Harness,
    client_of,
    problem,
    session_harness,
)
from agentsession_testing.valkey import entries

EVENTS = "/v1/runner/turns/turn-1/events"
RESULT = "/v1/runner/turns/turn-1/result"
DONE = {"outcome": "Succeeded", "text": "done"}


@pytest.fixture
async def harness(store: MailboxStore, tmp_path: Path) -> AsyncIterator[Harness]:
    async with session_harness(store, tmp_path) as harness:
        yield harness


@pytest.fixture
async def client(harness: Harness) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(harness.app()) as client:
        yield client


def delta(text: str = "x", seq: int = 1) -> dict[str, Any]:
    return {"seq": seq, "kind": "delta", "data": {"text": text}}


class TestEvents:
    async def test_published_in_order(
        self, harness: Harness, client: httpx.AsyncClient, redis_client: Redis
    ) -> None:
        await harness.begin_run()
        await harness.begin_turn()
        answer = await client.post(EVENTS, json={"events": [delta("a", 1), delta("ß", 2)]})
        assert answer.status_code == 202
        published = [fields for _, fields in await entries(redis_client, MailboxKeys(USER).events)]
        # The first says that the turn has begun.
        del published[0]
        assert [json.loads(event["data"]) for event in published] == [{"text": "a"}, {"text": "ß"}]
        assert {event["turn"] for event in published} == {"turn-1"}

    async def test_the_conversations_id_is_kept_at_once(
        self, harness: Harness, client: httpx.AsyncClient
    ) -> None:
        await harness.begin_run()
        await harness.begin_turn()
        event = {"seq": 1, "kind": "state", "data": {"agentSessionID": "c0ffee"}}
        await client.post(EVENTS, json={"events": [event, delta(seq=2)]})
        assert (await harness.store.state(USER)).agent_session_id == "c0ffee"

    @pytest.mark.parametrize("value", [None, 7, "", "x" * 257, {"a": 1}])
    async def test_an_unfit_id_is_not(
        self, harness: Harness, client: httpx.AsyncClient, value: object
    ) -> None:
        await harness.begin_run()
        await harness.begin_turn()
        event = {"seq": 1, "kind": "state", "data": {"agentSessionID": value}}
        assert (await client.post(EVENTS, json={"events": [event]})).status_code == 202
        assert (await harness.store.state(USER)).agent_session_id is None

    async def test_only_for_the_running_turn(
        self, harness: Harness, client: httpx.AsyncClient
    ) -> None:
        await harness.begin_run()
        batch = {"events": [delta()]}
        assert problem(await client.post(EVENTS, json=batch)) == (410, "unknown_turn")
        await harness.begin_turn("another")
        assert problem(await client.post(EVENTS, json=batch)) == (410, "unknown_turn")

    @pytest.mark.parametrize(
        ("batch", "expected"),
        [
            ({"events": [delta("x" * 16_384)]}, (413, "event_too_large")),
            ({"events": [delta("ä" * 8_192)]}, (413, "event_too_large")),
            ({"events": [delta()] * 257}, (422, "body_invalid")),
            ({"events": [{"seq": 1, "kind": "other", "data": {}}]}, (422, "body_invalid")),
            ({"events": [{"seq": -1, "kind": "delta", "data": {}}]}, (422, "body_invalid")),
            ({"events": [delta("x" * 6_000_000)]}, (413, "body_too_large")),
        ],
        ids=["ascii", "utf-8", "batch", "kind", "seq", "body"],
    )
    async def test_limits(
        self,
        harness: Harness,
        client: httpx.AsyncClient,
        redis_client: Redis,
        batch: dict[str, Any],
        expected: tuple[int, str],
    ) -> None:
        await harness.begin_run()
        await harness.begin_turn()
        assert problem(await client.post(EVENTS, json=batch)) == expected
        # But for the entry that says that the turn has begun.
        assert await redis_client.xlen(MailboxKeys(USER).events) == 1

    async def test_the_largest_event_passes(
        self, harness: Harness, client: httpx.AsyncClient
    ) -> None:
        await harness.begin_run()
        await harness.begin_turn()
        frame = len(json.dumps({"text": ""}))
        answer = await client.post(EVENTS, json={"events": [delta("x" * (16_384 - frame))]})
        assert answer.status_code == 202

    async def test_rate(self, harness: Harness, client: httpx.AsyncClient) -> None:
        await harness.begin_run()
        await harness.begin_turn()
        full = {"events": [delta()] * 256}
        assert (await client.post(EVENTS, json=full)).status_code == 202
        refused = await client.post(EVENTS, json=full)
        assert problem(refused) == (429, "too_many_events")
        assert refused.headers["retry-after"] == "1"
        harness.monotonic_offset = 5.2
        assert (await client.post(EVENTS, json=full)).status_code == 202


class TestResult:
    async def test_committed_once(self, harness: Harness, client: httpx.AsyncClient) -> None:
        await harness.begin_run()
        await harness.begin_turn()
        body = {
            "outcome": "ModelError",
            "text": "",
            "agentSessionID": "c",
            "error": {"code": "api_error", "message": "overloaded"},
        }
        assert (await client.post(RESULT, json=body)).json() == {"committed": True}
        assert (await client.post(RESULT, json=body)).json() == {"committed": False}
        last = (await harness.store.state(USER)).last
        assert last is not None
        # The runner says ModelError; the gateway saw no failing call.
        assert (last.outcome, last.model_status) == ("ModelError", None)
        assert (last.error_code, last.error_message) == ("api_error", "overloaded")
        value = harness.metrics.registry.get_sample_value(
            "agentsession_turns_total", {"source": "prompt", "outcome": "ModelError"}
        )
        assert value == 1

    async def test_committed_again_after_the_run_was_replaced(
        self, harness: Harness, client: httpx.AsyncClient
    ) -> None:
        await harness.begin_run()
        await harness.begin_turn()
        await client.post(RESULT, json=DONE)
        await self.replace_run(harness)
        assert (await client.post(RESULT, json=DONE)).json() == {"committed": False}

    async def test_given_to_another_run(self, harness: Harness, client: httpx.AsyncClient) -> None:
        await harness.begin_run()
        await harness.begin_turn()
        await self.replace_run(harness)
        await harness.store.hello(USER, run=f"{SESSION_UID}/2", pod_uid="p2", pod="p2")
        await harness.store.begin_turn(
            USER, run=f"{SESSION_UID}/2", pod_uid="p2", turn="x", timeout_seconds=60
        )
        assert problem(await client.post(RESULT, json=DONE)) == (409, "stale_run")

    async def replace_run(self, harness: Harness) -> None:
        await harness.store.begin_run(
            USER,
            run=f"{SESSION_UID}/2",
            expected=RUN,
            session_uid=SESSION_UID,
            launch=LaunchType.RESUME,
        )

    async def test_unknown_turn(self, harness: Harness, client: httpx.AsyncClient) -> None:
        await harness.begin_run()
        assert problem(await client.post(RESULT, json=DONE)) == (410, "unknown_turn")

    async def test_of_a_second_pod(
        self, harness: Harness, client: httpx.AsyncClient, redis_client: Redis
    ) -> None:
        await harness.begin_run()
        await harness.begin_turn()
        await redis_client.hset(MailboxKeys(USER).run, "pod_uid", "other")
        assert problem(await client.post(RESULT, json=DONE)) == (403, "other_pod")

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (DONE | {"text": "x" * (1024 * 1024 + 1)}, (413, "result_too_large")),
            (DONE | {"text": "ä" * (512 * 1024 + 1)}, (413, "result_too_large")),
            (DONE | {"text": "\x01" * 1_200_000}, (413, "body_too_large")),
            (DONE | {"outcome": "DeadLettered"}, (422, "body_invalid")),
            ({"outcome": "Succeeded"}, (422, "body_invalid")),
        ],
        ids=["ascii", "utf-8", "body", "outcome", "text"],
    )
    async def test_limits(
        self,
        harness: Harness,
        client: httpx.AsyncClient,
        body: dict[str, Any],
        expected: tuple[int, str],
    ) -> None:
        await harness.begin_run()
        await harness.begin_turn()
        assert problem(await client.post(RESULT, json=body)) == expected
        assert (await harness.store.state(USER)).turn is not None

    @pytest.mark.parametrize("character", ["x", "\x01", "ä", "🙂"])
    async def test_the_largest_text_passes(
        self, harness: Harness, client: httpx.AsyncClient, character: str
    ) -> None:
        await harness.begin_run()
        await harness.begin_turn()
        text = character * (1024 * 1024 // len(character.encode()))
        answer = await client.post(RESULT, json=DONE | {"text": text})
        assert answer.json() == {"committed": True}
        last = (await harness.store.state(USER)).last
        assert last is not None
        assert last.reply == text


class TestBye:
    async def test_of_an_idle_run(self, harness: Harness, client: httpx.AsyncClient) -> None:
        await harness.begin_run()
        assert (await client.post("/v1/runner/bye")).json() == {"reopened": False}

    async def test_while_a_message_waits(self, harness: Harness, client: httpx.AsyncClient) -> None:
        await harness.begin_run()
        await harness.prompt()
        assert (await client.post("/v1/runner/bye")).json() == {"reopened": True}

    async def test_of_a_stale_run(self, harness: Harness, client: httpx.AsyncClient) -> None:
        assert problem(await client.post("/v1/runner/bye")) == (403, "stale_run")
