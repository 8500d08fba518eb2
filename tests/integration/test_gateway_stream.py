"""Turns over a real HTTP stream, with a real Valkey behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from agentsession_core import naming
from agentsession_core.api import LaunchType, TurnOutcome
from agentsession_core.identity import TokenIdentity
from agentsession_core.mailbox.answers import RunAnswer
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import ResultRecord, RunState
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import Settings
from agentsession_gateway.server import build_server
from agentsession_gateway.sessions import ClusterSessionReader
from agentsession_gateway.stream import TurnDesk
from agentsession_testing.gateway import (
    HELLO,
    NO_NETWORK,
    POD_UID,
    RUN,
    SESSION_UID,
    TOKEN,
    USER,
    Harness,
    StreamEvent,
    stream_events,
)
from agentsession_testing.model_gateway import gateway
from agentsession_testing.serving import plain_client, serving, until

DONE = ResultRecord(TurnOutcome.SUCCEEDED, "done")


@pytest.fixture
async def harness(store: MailboxStore, tmp_path: Path) -> AsyncIterator[Harness]:
    async with httpx.AsyncClient(transport=NO_NETWORK) as upstream:
        harness = Harness(store, Settings(), tmp_path, upstream)
        harness.add_session()
        yield harness


@asynccontextmanager
async def stream(client: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[StreamEvent]]:
    async with client.stream("GET", "/v1/runner/stream") as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield stream_events(response)


async def next_event(events: AsyncIterator[StreamEvent], seconds: float = 5) -> StreamEvent:
    return await asyncio.wait_for(anext(events), seconds)


async def assert_ends(events: AsyncIterator[StreamEvent]) -> None:
    with pytest.raises(StopAsyncIteration):
        await next_event(events)


async def test_life_of_a_run(harness: Harness) -> None:
    await harness.begin_run(hello=False)
    await harness.prompt("first")
    async with gateway(harness) as client:
        welcome = (await client.post("/v1/runner/hello", json=HELLO)).json()
        assert welcome["run"] == RUN
        assert welcome["agentSessionID"] is None
        async with stream(client) as events:
            turn = await next_event(events)
            assert turn.name == "turn"
            assert turn.data["turn"] == "turn-1"
            assert turn.data["attempt"] == 1
            assert [m["text"] for m in turn.data["messages"]] == ["first"]
            assert 1790 < turn.data["remainingSeconds"] <= 1800

            path = "/v1/runner/turns/turn-1/result"
            result = {"outcome": "Succeeded", "text": "hi", "agentSessionID": "c0ffee"}
            assert (await client.post(path, json=result)).json() == {"committed": True}
            assert (await client.post(path, json=result)).json() == {"committed": False}

            await harness.prompt("second", generation=2)
            turn = await next_event(events)
            assert [m["text"] for m in turn.data["messages"]] == ["second"]
            answer = await client.post(f"/v1/runner/turns/{turn.data['turn']}/result", json=result)
            assert answer.json() == {"committed": True}

            assert await harness.store.drain(USER, run=RUN, by_hand=False) is RunAnswer.DRAINED
            assert await next_event(events) == StreamEvent("drain", {})
            assert (await client.post("/v1/runner/bye")).json() == {"reopened": False}
    state = await harness.store.state(USER)
    assert state.last is not None
    assert (state.last.reply, state.usage.turns, state.agent_session_id) == ("hi", 2, "c0ffee")
    assert state.run is not None
    assert state.run.bye_at is not None


async def test_a_message_is_given_within_a_tenth_of_a_second(harness: Harness) -> None:
    await harness.begin_run()
    async with gateway(harness) as client, stream(client) as events:
        await until(lambda: harness.hub.streams == 1, "the stream is open")
        loop = asyncio.get_running_loop()
        waiting = asyncio.create_task(next_event(events))
        await asyncio.sleep(0)
        started = loop.time()
        await harness.prompt()
        await waiting
        # The keep-alive's look would come after 15 s: this was the hint. The margin is for a busy machine.
        assert loop.time() - started < 2


async def test_the_same_turn_again_after_a_reconnect(harness: Harness) -> None:
    await harness.begin_run()
    await harness.prompt()
    async with gateway(harness) as client:
        async with stream(client) as events:
            first = await next_event(events)
        async with stream(client) as events:
            again = await next_event(events)
    assert again.data["turn"] == first.data["turn"]
    assert again.data["attempt"] == 1
    assert again.data["messages"] == first.data["messages"]


async def test_a_turn_is_sent_once_per_connection(harness: Harness) -> None:
    await harness.begin_run()
    await harness.prompt()
    async with gateway(harness) as client, stream(client) as events:
        first = await next_event(events)
        # Looked at again and again while the turn runs, e.g. for the turn's own hint.
        await harness.prompt("later", generation=2)
        await harness.store.commit_result(USER, run=RUN, turn=first.data["turn"], result=DONE)
        second = await next_event(events)
    assert [m["text"] for m in second.data["messages"]] == ["later"]


async def test_newest_connection_wins(harness: Harness) -> None:
    await harness.begin_run()
    async with gateway(harness) as client, stream(client) as older:
        await until(lambda: harness.hub.streams == 1, "the stream is open")
        async with stream(client) as newer:
            await assert_ends(older)
            await harness.prompt()
            assert (await next_event(newer)).name == "turn"
            assert harness.hub.streams == 1
    assert harness.hub.streams == 0


async def test_stream_ends_when_the_run_is_replaced(harness: Harness) -> None:
    await harness.begin_run()
    async with gateway(harness) as client, stream(client) as events:
        await until(lambda: harness.hub.streams == 1, "the stream is open")
        await harness.store.begin_run(
            USER,
            run=f"{SESSION_UID}/2",
            expected=RUN,
            session_uid=SESSION_UID,
            launch=LaunchType.RESUME,
        )
        await harness.prompt()
        await assert_ends(events)
        answer = await client.get("/v1/runner/stream")
        assert (answer.status_code, answer.json()["code"]) == (403, "stale_run")


async def test_drain_reopened_and_drained_again(harness: Harness) -> None:
    await harness.begin_run()
    async with gateway(harness) as client, stream(client) as events:
        await until(lambda: harness.hub.streams == 1, "the stream is open")
        await harness.store.drain(USER, run=RUN, by_hand=False)
        assert (await next_event(events)).name == "drain"
        await harness.prompt()
        assert (await client.post("/v1/runner/bye")).json() == {"reopened": True}
        turn = await next_event(events)
        assert turn.name == "turn"
        await harness.store.commit_result(USER, run=RUN, turn=turn.data["turn"], result=DONE)
        await harness.store.drain(USER, run=RUN, by_hand=False)
        assert (await next_event(events)).name == "drain"


async def test_no_turn_begins_too_late_in_a_run(harness: Harness, redis_client: Redis) -> None:
    harness.add_session({"run": {"turnTimeoutSeconds": 100, "activeDeadlineSeconds": 101}})
    await harness.begin_run()
    await grow_older(redis_client, 2)
    async with gateway(harness) as client, stream(client) as events:
        await harness.prompt()
        assert (await next_event(events)).name == "drain"
        # The message is the next run's: this one may go although it waits.
        assert (await client.post("/v1/runner/bye")).json() == {"reopened": False}
    state = await harness.store.state(USER)
    assert (state.waiting, state.turn) == (1, None)


async def test_an_old_run_without_work_is_left_alone(harness: Harness, redis_client: Redis) -> None:
    harness.add_session({"run": {"turnTimeoutSeconds": 100, "activeDeadlineSeconds": 101}})
    await harness.begin_run()
    await grow_older(redis_client, 2)
    desk = await desk_of(harness)
    assert (await desk.look(harness.clock)).answer is RunAnswer.EMPTY
    state = await harness.store.state(USER)
    assert state.run is not None
    assert state.run.state is RunState.OPEN


async def test_a_dead_runs_turn_is_not_taken_over_too_late(
    harness: Harness, redis_client: Redis
) -> None:
    harness.add_session({"run": {"turnTimeoutSeconds": 100, "activeDeadlineSeconds": 101}})
    await harness.begin_run()
    await harness.begin_turn("turn-x")
    await redis_client.hset(MailboxKeys(USER).turn, "run", f"{SESSION_UID}/0")
    await grow_older(redis_client, 2)
    desk = await desk_of(harness)
    assert (await desk.look(harness.clock)).answer is RunAnswer.EMPTY
    state = await harness.store.state(USER)
    assert state.turn is not None
    assert (state.turn.run, state.turn.attempt) == (f"{SESSION_UID}/0", 1)


async def desk_of(harness: Harness) -> TurnDesk:
    identity = TokenIdentity(
        harness.cluster, naming.AUDIENCE_GATEWAY, harness.settings.session_namespaces, harness.clock
    )
    recognised = await identity.recognise(TOKEN)
    reader = ClusterSessionReader(harness.cluster, harness.settings, harness.clock)
    effective = await reader.effective(recognised.session)
    return TurnDesk(harness.store, recognised.caller, effective, lambda: "turn-new")


async def test_a_running_turn_is_given_again_however_late(
    harness: Harness, redis_client: Redis
) -> None:
    harness.add_session({"run": {"turnTimeoutSeconds": 100, "activeDeadlineSeconds": 101}})
    await harness.begin_run()
    await harness.begin_turn("turn-x")
    await grow_older(redis_client, 50)
    async with gateway(harness) as client, stream(client) as events:
        assert (await next_event(events)).data["turn"] == "turn-x"


async def grow_older(redis: Redis, seconds: float) -> None:
    """The run began that much earlier."""
    key = MailboxKeys(USER).run
    begun_at = await redis.hget(key, "begun_at")
    assert begun_at is not None
    await redis.hset(key, "begun_at", str(float(begun_at) - seconds))


async def test_stop_ends_the_streams_at_once(harness: Harness) -> None:
    await harness.begin_run()
    server = build_server(harness.app(), "127.0.0.1", 0, harness.hub.close)
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with (
        serving(server) as url,
        plain_client(headers=headers) as client,
        client.stream("GET", f"{url}/v1/runner/stream") as response,
    ):
        await until(lambda: harness.hub.streams == 1, "the stream is open")
        server.should_exit = True
        await assert_ends(stream_events(response))


async def test_another_pod_gets_no_stream(harness: Harness) -> None:
    await harness.begin_run(hello=False)
    await harness.store.hello(USER, run=RUN, pod_uid="other", pod="other")
    assert POD_UID != "other"
    async with gateway(harness) as client:
        answer = await client.get("/v1/runner/stream")
    assert (answer.status_code, answer.json()["code"]) == (403, "other_pod")
