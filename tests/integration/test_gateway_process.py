"""The gateway as a process of its own: configuration, a whole turn, logs, metrics, stopping."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agentsession_core.api import LaunchType
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.gateway import (
    HELLO,
    RUN,
    SESSION,
    SESSION_UID,
    TOKEN,
    USER,
    stream_events,
)
from agentsession_testing.gateway_process import GatewayProcess, started_gateway
from agentsession_testing.kube_api import ACCOUNT_TOKEN, KubeApi
from agentsession_testing.kubeconfig import write_kubeconfig
from agentsession_testing.model_api import START, ModelApi
from agentsession_testing.serving import free_port, plain_client, plain_server, serving, until
from agentsession_testing.valkey import Valkey

KEY = "sk-ant-the-real-key"
MESSAGES = "/v1/model/anthropic/v1/messages"
CALL = {"model": "claude-x", "messages": []}


@pytest.fixture
def model() -> ModelApi:
    return ModelApi()


@pytest.fixture
async def gateway(
    store: MailboxStore, valkey: Valkey, tmp_path: Path, model: ModelApi
) -> AsyncIterator[GatewayProcess]:
    kube_api = KubeApi()
    kube_api.cluster.add_session(SESSION, SESSION_UID, {"user": {"id": USER}})
    kube_api.cluster.add_run(SESSION, SESSION_UID, 1, TOKEN)
    await store.begin_run(
        USER, run=RUN, expected="", session_uid=SESSION_UID, launch=LaunchType.COLD
    )
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "anthropic-api-key").write_text(KEY, encoding="utf-8")
    async with serving(plain_server(kube_api)) as kube, serving(plain_server(model)) as upstream:
        settings = {
            "redis": {"url": valkey.url},
            "gateway": {
                "port": free_port(),
                "metricsPort": free_port(),
                "models": {"anthropic": {"baseURL": upstream}},
            },
        }
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", kube, ACCOUNT_TOKEN)
        async with started_gateway(tmp_path, settings, kubeconfig) as gateway:
            await until(gateway.ready, "the gateway is ready", 60)
            yield gateway
            model.hold.set()
            model.last.set()


async def test_a_turn_from_hello_to_the_metrics(
    gateway: GatewayProcess, store: MailboxStore, model: ModelApi
) -> None:
    async with gateway.client() as client, plain_client() as anyone:
        assert (await client.post("/v1/runner/hello", json=HELLO)).json()["run"] == RUN
        await store.ingest_prompt(
            USER, uid=SESSION_UID, generation=1, sha256="s", text="Hi", known_sha256=None
        )
        async with client.stream("GET", "/v1/runner/stream") as response:
            events = stream_events(response)
            turn = await asyncio.wait_for(anext(events), 10)
            assert turn.data["messages"][0]["text"] == "Hi"
            assert (await client.post(MESSAGES, json=CALL)).status_code == 200
            result = {"outcome": "Succeeded", "text": "Hello"}
            path = f"/v1/runner/turns/{turn.data['turn']}"
            for seq in (1, 2):
                delta = {"seq": seq, "kind": "delta", "data": {"text": "Hel"}}
                said = await client.post(f"{path}/events", json={"events": [delta]})
                assert said.status_code == 202
            receipt = await client.post(f"{path}/result", json=result)
            assert receipt.json() == {"committed": True}
            metrics = await anyone.get(f"http://127.0.0.1:{gateway.metrics_port}/metrics")
            for line in (
                "agentsession_gateway_streams 1.0",
                'agentsession_turns_given_total{attempt="first"} 1.0',
                'agentsession_turns_total{outcome="Succeeded",source="prompt"} 1.0',
                'stage_seconds_count{launch_type="warm",stage="turn_given"} 1.0',
                'stage_seconds_count{launch_type="warm",stage="model_request"} 1.0',
                'stage_seconds_count{launch_type="warm",stage="first_token"} 1.0',
                'stage_seconds_count{launch_type="warm",stage="result"} 1.0',
                'agentsession_run_start_seconds_count{launch_type="cold"} 1.0',
                'agentsession_gateway_model_calls_total{outcome="answered",status="200"} 1.0',
                'agentsession_gateway_model_tokens_total{kind="cache_read",model="other"} 1000.0',
                'request_seconds_count{route="/v1/runner/hello",status="200"} 1.0',
                'agentsession_gateway_token_reviews_total{result="accepted"} 1.0',
                "process_resident_memory_bytes",
            ):
                assert line in metrics.text
            gateway.process.send_signal(signal.SIGTERM)
            # The stream ends by itself: the runner goes to another replica.
            with pytest.raises(StopAsyncIteration):
                await asyncio.wait_for(anext(events), 10)
    assert await gateway.stop() == 0
    assert model.seen[0].headers["x-api-key"] == KEY
    lines = await gateway.logs()
    records = [json.loads(line) for line in lines]
    assert {"hello", "model_call"} <= {record["event"] for record in records}
    assert {record["service"] for record in records} == {"gateway"}
    assert not [line for line in lines if KEY in line or TOKEN in line]


async def test_a_running_model_call_is_finished_when_told_to_stop(
    gateway: GatewayProcess, store: MailboxStore, model: ModelApi
) -> None:
    model.answer = model.stream
    async with gateway.client() as client:
        await client.post("/v1/runner/hello", json=HELLO)
        await store.ingest_prompt(
            USER, uid=SESSION_UID, generation=1, sha256="s", text="Hi", known_sha256=None
        )
        await store.begin_turn(
            USER, run=RUN, pod_uid=f"{SESSION}-r1-abcde-uid", turn="t", timeout_seconds=60
        )
        async with client.stream("POST", MESSAGES, json=CALL) as answer:
            chunks = answer.aiter_raw()
            assert (await anext(chunks)).startswith(START)
            gateway.process.send_signal(signal.SIGTERM)

            async def refused() -> bool:
                return not await gateway.ready()

            await until(refused, "no new connection is taken")
            model.hold.set()
            model.last.set()
            assert b"message_stop" in b"".join([chunk async for chunk in chunks])
    assert await gateway.stop() == 0
    assert (await store.state(USER)).usage.output_tokens == 7


@pytest.mark.parametrize(
    ("settings", "kubeconfig", "named"),
    [
        ({"gatway": {}}, True, "gatway"),
        ({"gateway": {"port": 0}}, True, "gateway.port"),
        ({"gateway": {"metricsPort": 19090}}, False, "KUBECONFIG"),
    ],
)
async def test_says_what_is_wrong_and_exits(
    tmp_path: Path, settings: dict[str, Any], kubeconfig: bool, named: str
) -> None:
    if "gateway" in settings and not kubeconfig:
        settings["gateway"]["metricsPort"] = free_port()
    nobody = write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:9", ACCOUNT_TOKEN)
    path = nobody if kubeconfig else None
    async with started_gateway(tmp_path, settings, path) as gateway:
        assert await asyncio.wait_for(gateway.process.wait(), 60) == 1
        lines = await gateway.logs()
    assert named in lines[-1]
    assert "Traceback" not in "\n".join(lines)
