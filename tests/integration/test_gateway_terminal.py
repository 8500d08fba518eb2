"""The terminal routes over real HTTP, with a real Valkey behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from redis.asyncio import Redis

from agentsession_core import naming
from agentsession_core.api import TurnOutcome
from agentsession_core.cluster import Resource
from agentsession_core.mailbox.contract import Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import Settings
from agentsession_core.terminal import PREFIX, TEXT_LIMIT
from agentsession_gateway.terminal_api import TERMINALS_PER_SESSION
from agentsession_testing.fake_cluster import terminal_review
from agentsession_testing.gateway import (
    NO_NETWORK,
    POD_UID,
    RUN,
    SESSION,
    TOKEN,
    USER,
    Harness,
    StreamEvent,
    stream_events,
)
from agentsession_testing.model_gateway import gateway
from agentsession_testing.serving import until

PERSON = "token-of-a-person"
ADA = f"{PREFIX}/{SESSION}"
DONE = ResultRecord(TurnOutcome.SUCCEEDED, "done")


@pytest.fixture
async def harness(store: MailboxStore, tmp_path: Path) -> AsyncIterator[Harness]:
    async with httpx.AsyncClient(transport=NO_NETWORK) as upstream:
        harness = Harness(store, Settings(), tmp_path, upstream)
        harness.add_session(observedGeneration=1)
        harness.cluster.reviews[PERSON] = terminal_review()
        yield harness


@pytest.fixture
async def client(harness: Harness) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway(harness, PERSON) as client:
        yield client


@asynccontextmanager
async def events_of(
    client: httpx.AsyncClient, after: str | None = None
) -> AsyncIterator[AsyncIterator[StreamEvent]]:
    params = {} if after is None else {"after": after}
    async with client.stream("GET", f"{ADA}/events", params=params) as response:
        assert response.status_code == 200, await response.aread()
        yield stream_events(response)


async def next_event(events: AsyncIterator[StreamEvent]) -> StreamEvent:
    return await asyncio.wait_for(anext(events), 5)


async def whole_turn(
    harness: Harness, redis: Redis, source: str, turn: str = "turn-1", text: str = "Hello"
) -> None:
    fields: dict[Any, Any] = {"id": f"id-of-{turn}", "text": text, "source": source}
    await redis.xadd(MailboxKeys(USER).incoming, fields)
    await harness.store.begin_turn(USER, run=RUN, pod_uid=POD_UID, turn=turn, timeout_seconds=1800)
    await harness.store.publish_events(USER, turn, source, [(1, "delta", {"text": "do"})])
    await harness.store.commit_result(USER, run=RUN, turn=turn, result=DONE)


class TestWhoMayCome:
    @pytest.mark.parametrize("path", ["events", "history", "last"])
    @pytest.mark.parametrize(
        ("token", "status", "code"),
        [
            ("nobody's", 401, "token_invalid"),
            # A run pod's own token opens no terminal.
            (TOKEN, 401, "audience_missing"),
        ],
    )
    async def test_no_other_token(
        self, client: httpx.AsyncClient, path: str, token: str, status: int, code: str
    ) -> None:
        answer = await client.get(f"{ADA}/{path}", headers={"authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["code"]) == (status, code)

    async def test_a_terminals_token_is_no_runs(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/runner/bye")
        assert (answer.status_code, answer.json()["code"]) == (401, "audience_missing")

    async def test_the_namespace_is_the_tokens(
        self, harness: Harness, client: httpx.AsyncClient
    ) -> None:
        harness.cluster.reviews["else"] = terminal_review("elsewhere")
        answer = await client.get(f"{ADA}/last", headers={"authorization": "Bearer else"})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_a_terminal")
        answer = await client.get(f"{ADA}/last", headers={"x-namespace": "elsewhere"})
        assert answer.status_code == 200

    @pytest.mark.parametrize("name", ["bob", "..%2fother%2fada", "ADA", "%00"])
    async def test_no_such_session(self, client: httpx.AsyncClient, name: str) -> None:
        answer = await client.get(f"{PREFIX}/{name}/last")
        assert answer.status_code == 404

    async def test_a_session_that_does_not_hold_its_mailbox(
        self, harness: Harness, client: httpx.AsyncClient
    ) -> None:
        harness.add_session()
        answer = await client.get(f"{ADA}/history")
        assert (answer.status_code, answer.json()["code"]) == (409, "session_not_seen")

    async def test_the_audit_line_names_the_credential_and_no_text(
        self,
        harness: Harness,
        client: httpx.AsyncClient,
        redis_client: Redis,
    ) -> None:
        await harness.begin_run()
        await whole_turn(harness, redis_client, "terminal", text="between us")
        headers = {"x-remote-user": "root", "impersonate-user": "root"}
        with structlog.testing.capture_logs() as lines:
            assert (await client.get(f"{ADA}/history", headers=headers)).status_code == 200
        assert [line for line in lines if line["event"] == "terminal"] == [
            {
                "event": "terminal",
                "log_level": "info",
                "action": "history",
                "namespace": "agents",
                "session": SESSION,
                "person": f"system:serviceaccount:agents:{naming.CLI_SERVICE_ACCOUNT}",
                "credential": "JTI=4711",
            }
        ]


class TestLast:
    async def test_nothing_yet(self, client: httpx.AsyncClient) -> None:
        assert (await client.get(f"{ADA}/last")).json()["turn"] is None

    async def test_own_words(
        self, harness: Harness, client: httpx.AsyncClient, redis_client: Redis
    ) -> None:
        await harness.begin_run()
        await whole_turn(harness, redis_client, "terminal")
        last = (await client.get(f"{ADA}/last")).json()
        assert (last["source"], last["text"], last["shown"]) == ("terminal", "done", True)

    async def test_the_words_of_a_chat_stay_there(
        self, harness: Harness, client: httpx.AsyncClient, redis_client: Redis
    ) -> None:
        await harness.begin_run()
        await whole_turn(harness, redis_client, "telegram", text="the secret")
        last = (await client.get(f"{ADA}/last")).json()
        assert (last["source"], last["text"], last["shown"]) == ("telegram", "", False)
        assert "the secret" not in (await client.get(f"{ADA}/history")).text


class TestEvents:
    async def test_a_turn_as_it_happens(
        self, harness: Harness, client: httpx.AsyncClient, redis_client: Redis
    ) -> None:
        await harness.begin_run()
        await whole_turn(harness, redis_client, "terminal", "turn-0")
        async with events_of(client) as events:
            # From now on: nothing of the turn before.
            await whole_turn(harness, redis_client, "terminal")
            begun, delta, ended = [await next_event(events) for _ in range(3)]
        assert (begun.name, begun.data["turn"]) == ("begun", "turn-1")
        assert begun.data["messages"] == [{"id": "id-of-turn-1", "text": "Hello"}]
        assert (delta.name, delta.data["text"]) == ("delta", "do")
        assert (ended.name, ended.data["outcome"], ended.data["text"]) == (
            "ended",
            "Succeeded",
            "done",
        )

    async def test_a_lost_connection_goes_on_where_it_was(
        self, harness: Harness, client: httpx.AsyncClient, redis_client: Redis
    ) -> None:
        await harness.begin_run()
        history = (await client.get(f"{ADA}/history")).json()
        assert history["cursor"] == "0-0"
        await whole_turn(harness, redis_client, "terminal")
        async with events_of(client, history["cursor"]) as events:
            first = await next_event(events)
            assert first.name == "begun"
        async with events_of(client, first.id) as events:
            names = [(await next_event(events)).name for _ in range(2)]
        assert names == ["delta", "ended"]
        history = (await client.get(f"{ADA}/history")).json()
        assert [turn["text"] for turn in history["turns"]] == ["done"]

    async def test_of_a_chats_turn_its_begin_and_end(
        self, harness: Harness, client: httpx.AsyncClient, redis_client: Redis
    ) -> None:
        await harness.begin_run()
        async with events_of(client) as events:
            await whole_turn(harness, redis_client, "telegram", text="the secret")
            begun, ended = [await next_event(events) for _ in range(2)]
        assert (begun.name, begun.data["source"], begun.data["text"]) == ("begun", "telegram", "")
        assert begun.data["messages"] == [{"id": "id-of-turn-1", "text": None}]
        assert (ended.name, ended.data["outcome"], ended.data["text"]) == (
            "ended",
            "Succeeded",
            "",
        )

    async def test_a_long_answer_comes_whole(
        self, harness: Harness, client: httpx.AsyncClient
    ) -> None:
        await harness.begin_run()
        async with events_of(client) as events:
            await harness.begin_turn()
            long = ResultRecord(TurnOutcome.SUCCEEDED, "x" * 300_000)
            await harness.store.commit_result(USER, run=RUN, turn="turn-1", result=long)
            await next_event(events)
            assert len((await next_event(events)).data["text"]) == 300_000

    async def test_an_id_that_is_none(self, client: httpx.AsyncClient) -> None:
        answer = await client.get(f"{ADA}/events", params={"after": "$"})
        assert (answer.status_code, answer.json()["code"]) == (422, "event_id_invalid")

    async def test_not_too_many_at_once(self, client: httpx.AsyncClient) -> None:
        open_streams = [events_of(client) for _ in range(TERMINALS_PER_SESSION)]
        for stream in open_streams:
            await stream.__aenter__()
        answer = await client.get(f"{ADA}/events")
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_terminals")
        await open_streams.pop().__aexit__(None, None, None)

        async def free() -> bool:
            async with client.stream("GET", f"{ADA}/events") as again:
                return again.status_code == 200

        await until(free, "a closed terminal's place is free")
        for stream in open_streams:
            await stream.__aexit__(None, None, None)

    async def test_a_stopping_gateway_ends_the_stream(self, harness: Harness) -> None:
        async with gateway(harness, PERSON) as client, events_of(client) as events:
            harness.hub.close()
            with pytest.raises(StopAsyncIteration):
                await next_event(events)


def wish(number: int, **more: str) -> dict[str, str]:
    return {"id": f"message-{number:04}", **more}


class TestSending:
    async def test_a_message_once(self, harness: Harness, client: httpx.AsyncClient) -> None:
        await harness.begin_run()
        first, again = [
            await client.post(f"{ADA}/messages", json=wish(1, text="Hello")) for _ in range(2)
        ]
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.json() == {
            "id": "message-0001",
            "new": True,
            "conversation": 1,
            "reopened": False,
        }
        assert again.json() == {**first.json(), "new": False}
        grant = await harness.store.begin_turn(
            USER, run=RUN, pod_uid=POD_UID, turn="t", timeout_seconds=10
        )
        assert [(m.id, m.text) for m in grant.messages] == [("message-0001", "Hello")]
        turn = (await harness.store.state(USER)).turn
        assert turn is not None
        assert turn.source == "terminal"

    async def test_a_new_conversation(self, harness: Harness, client: httpx.AsyncClient) -> None:
        await harness.begin_run()
        for _ in range(2):
            assert (await client.post(f"{ADA}/new", json=wish(1))).json() == {"conversation": 2}
        sent = await client.post(f"{ADA}/messages", json=wish(2, text="Hello"))
        assert sent.json()["conversation"] == 2
        assert (await harness.store.state(USER)).waiting == 1

    async def test_keeping_the_session(self, harness: Harness, client: httpx.AsyncClient) -> None:
        assert (await client.post(f"{ADA}/keep")).status_code == 204
        assert (await harness.store.state(USER)).last_activity is not None
        uid = harness.cluster.objects[Resource.SESSION, "agents", SESSION]["metadata"]["uid"]
        assert await harness.store.close(USER, session_uid=uid)
        refused = await client.post(f"{ADA}/keep")
        assert (refused.status_code, refused.json()["code"]) == (409, "session_terminating")

    async def test_stopping_a_turn(self, harness: Harness, client: httpx.AsyncClient) -> None:
        await harness.begin_run()
        assert (await client.post(f"{ADA}/cancel", json={})).json() == {"turn": None}
        await harness.begin_turn()
        other = await client.post(f"{ADA}/cancel", json={"turn": "turn-0"})
        assert other.json() == {"turn": None}
        assert (await client.post(f"{ADA}/cancel", json={})).json() == {"turn": "turn-1"}

    async def test_a_notice_is_shown(self, harness: Harness, client: httpx.AsyncClient) -> None:
        async with events_of(client) as events:
            await harness.store.notice(
                USER, notice="n", text="It waited a day.", source=Source.TELEGRAM, chat="7"
            )
            await harness.store.notice(
                USER, notice="m", text="Gone.", source=Source.TERMINAL, reply_to=["message-0001"]
            )
            seen = await next_event(events)
        assert (seen.name, seen.data["text"]) == ("notice", "Gone.")
        assert seen.data["messages"] == [{"id": "message-0001", "text": None}]

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"text": "no id"}, "body_invalid"),
            ({"id": "short", "text": "x"}, "body_invalid"),
            ({"id": "a b c d e f", "text": "x"}, "body_invalid"),
            (wish(1), "body_invalid"),
            (wish(1, text=""), "body_invalid"),
            (wish(1, text=" \n"), "message_empty"),
            (wish(1, text="x" * (TEXT_LIMIT + 1)), "body_invalid"),
        ],
    )
    async def test_what_is_no_message(
        self, client: httpx.AsyncClient, body: dict[str, str], code: str
    ) -> None:
        answer = await client.post(f"{ADA}/messages", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code)

    async def test_a_full_mailbox(self, harness: Harness, client: httpx.AsyncClient) -> None:
        for number in range(7):
            text = "x" * TEXT_LIMIT
            sent = await client.post(f"{ADA}/messages", json=wish(number, text=text))
            assert sent.status_code == 202
        answer = await client.post(f"{ADA}/messages", json=wish(9, text="x" * TEXT_LIMIT))
        assert (answer.status_code, answer.json()["code"]) == (409, "mailbox_full")
        # What was taken before is still known.
        again = await client.post(f"{ADA}/messages", json=wish(1, text="x" * TEXT_LIMIT))
        assert again.json()["new"] is False
