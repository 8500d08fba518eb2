"""The runner protocol's requests over the application, with a real Valkey behind it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from agentsession_core.api import LaunchType, Network
from agentsession_core.cluster import Resource
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import Settings
from agentsession_core.wire import Welcome
from agentsession_gateway.instructions import render_instructions
from agentsession_testing.gateway import (
    HELLO,
    NO_NETWORK,
    POD_UID,
    RUN,
    SESSION_UID,
    TOKEN,
    USER,
    Harness,
    client_of,
)
from agentsession_testing.skill_texts import skill
from agentsession_testing.valkey import entries

EVENTS = "/v1/runner/turns/turn-1/events"
RESULT = "/v1/runner/turns/turn-1/result"
DONE = {"outcome": "Succeeded", "text": "done"}


@pytest.fixture
async def harness(store: MailboxStore, tmp_path: Path) -> AsyncIterator[Harness]:
    async with httpx.AsyncClient(transport=NO_NETWORK) as upstream:
        harness = Harness(store, Settings(), tmp_path, upstream)
        harness.add_session()
        yield harness


@pytest.fixture
async def client(harness: Harness) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(harness.app()) as client:
        yield client


def problem(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem; checks its shape."""
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert set(body) == {"type", "title", "status", "code", "detail"}
    assert body["status"] == response.status_code
    assert TOKEN not in response.text
    return response.status_code, body["code"]


def delta(text: str = "x", seq: int = 1) -> dict[str, Any]:
    return {"seq": seq, "kind": "delta", "data": {"text": text}}


class TestHello:
    async def test_answers_all_the_runner_needs(
        self, harness: Harness, client: httpx.AsyncClient
    ) -> None:
        harness.add_session({"agent": {"model": "m", "args": ["--x"], "processMode": "PerTurn"}})
        template = {"instructions": "Be kind.", "skills": [{"name": "skills"}]}
        harness.cluster.put(
            Resource.TEMPLATE, "default", {"metadata": {"name": "d"}, "spec": template}
        )
        harness.cluster.put(
            Resource.CONFIG_MAP, "skills", {"data": {"pay.md": skill("pay"), "x": "y"}}
        )
        await harness.begin_run(hello=False)
        answer = await client.post("/v1/runner/hello", json=HELLO)
        assert answer.status_code == 200
        assert answer.json() == {
            "protocol": 1,
            "run": RUN,
            "conversation": 1,
            "agentSessionID": None,
            "model": "m",
            "args": ["--x"],
            "processMode": "PerTurn",
            "instructions": render_instructions(
                display_name=None,
                network=Network.NONE,
                has_platform=False,
                addition="Be kind.",
            ),
            "skills": [{"name": "pay", "files": [{"path": "SKILL.md", "content": skill("pay")}]}],
            "drained": False,
        }
        state = await harness.store.state(USER)
        assert state.run is not None
        assert (state.run.pod_uid, state.run.pod) == (POD_UID, "ada-r1-abcde")
        assert "key x of ConfigMap skills" in state.run.skill_problem

    async def test_mended_skills_are_forgotten(
        self, harness: Harness, client: httpx.AsyncClient
    ) -> None:
        template = {"metadata": {"name": "d"}, "spec": {"skills": [{"name": "team"}]}}
        harness.cluster.put(Resource.TEMPLATE, "default", template)
        await harness.begin_run(hello=False)
        for data, problem in (
            (None, "there is no ConfigMap team"),
            ({"data": {"pay.md": skill("pay")}}, ""),
        ):
            if data is not None:
                harness.cluster.put(Resource.CONFIG_MAP, "team", data)
            assert (await client.post("/v1/runner/hello", json=HELLO)).status_code == 200
            run = (await harness.store.state(USER)).run
            assert run is not None
            assert run.skill_problem == problem

    async def test_again(self, harness: Harness, client: httpx.AsyncClient) -> None:
        await harness.begin_run(hello=False)
        for _ in range(2):
            answer = await client.post("/v1/runner/hello", json=HELLO)
            assert Welcome.model_validate(answer.json()).run == RUN

    async def test_reads_the_session_afresh(
        self, harness: Harness, client: httpx.AsyncClient
    ) -> None:
        await harness.begin_run(hello=False)
        for model in ("first", "second"):
            harness.add_session({"agent": {"model": model}})
            answer = await client.post("/v1/runner/hello", json=HELLO)
            assert answer.json()["model"] == model

    async def test_a_newer_runner_is_answered_in_our_protocol(
        self, harness: Harness, client: httpx.AsyncClient
    ) -> None:
        await harness.begin_run(hello=False)
        answer = await client.post(
            "/v1/runner/hello", json={**HELLO, "protocol": 2, "news": {"a": 1}}
        )
        assert answer.json()["protocol"] == 1

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (HELLO | {"agentType": "codex"}, (409, "agent_type_mismatch")),
            (HELLO | {"protocol": 0}, (422, "body_invalid")),
            (HELLO | {"protocol": "one"}, (422, "body_invalid")),
            (HELLO | {"agentType": "x" * 33}, (422, "body_invalid")),
            ({}, (422, "body_invalid")),
            ([], (422, "body_invalid")),
            ({"agentType": "x" * 5000}, (413, "body_too_large")),
        ],
    )
    async def test_refused(
        self,
        harness: Harness,
        client: httpx.AsyncClient,
        body: object,
        expected: tuple[int, str],
    ) -> None:
        await harness.begin_run(hello=False)
        assert problem(await client.post("/v1/runner/hello", json=body)) == expected
        state = await harness.store.state(USER)
        assert state.run is not None
        assert state.run.hello_at is None

    async def test_of_a_run_that_is_not_current(
        self, harness: Harness, client: httpx.AsyncClient
    ) -> None:
        assert problem(await client.post("/v1/runner/hello", json=HELLO)) == (403, "stale_run")

    async def test_of_a_second_pod(self, harness: Harness, client: httpx.AsyncClient) -> None:
        await harness.begin_run(hello=False)
        await harness.store.hello(USER, run=RUN, pod_uid="other", pod="other")
        assert problem(await client.post("/v1/runner/hello", json=HELLO)) == (403, "other_pod")

    async def test_is_measured(self, harness: Harness, client: httpx.AsyncClient) -> None:
        await harness.begin_run(hello=False)
        await client.post("/v1/runner/hello", json=HELLO)
        count = harness.metrics.registry.get_sample_value(
            "agentsession_gateway_hello_seconds_count"
        )
        assert count == 1


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

    async def test_not_ready_without_redis(
        self, harness: Harness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away() -> None:
            raise RedisConnectionError("refused by the test")

        monkeypatch.setattr(harness.store, "ping", away)
        answer = await client.get("/readyz")
        assert answer.json()["failed"] == {"redis": "ConnectionError"}
