"""A runner's hello over the application, with a real Valkey behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from agentsession_core.api import Network
from agentsession_core.cluster import Resource
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.wire import Welcome
from agentsession_gateway.instructions import render_instructions
from agentsession_testing.gateway import (
    HELLO,
    POD_UID,
    RUN,
    USER,
    Harness,
    client_of,
    problem,
    session_harness,
)
from agentsession_testing.skill_texts import skill


@pytest.fixture
async def harness(store: MailboxStore, tmp_path: Path) -> AsyncIterator[Harness]:
    async with session_harness(store, tmp_path) as harness:
        yield harness


@pytest.fixture
async def client(harness: Harness) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(harness.app()) as client:
        yield client


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
        for data, complaint in (
            (None, "there is no ConfigMap team"),
            ({"data": {"pay.md": skill("pay")}}, ""),
        ):
            if data is not None:
                harness.cluster.put(Resource.CONFIG_MAP, "team", data)
            assert (await client.post("/v1/runner/hello", json=HELLO)).status_code == 200
            run = (await harness.store.state(USER)).run
            assert run is not None
            assert run.skill_problem == complaint

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
