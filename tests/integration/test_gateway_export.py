"""A workspace on its way from a run through the gateway, with a real Valkey and a real runner's sender."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from agentsession_core.api import LaunchType
from agentsession_core.mailbox.answers import RunAnswer
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.model import RunState
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import Settings
from agentsession_core.terminal import PREFIX
from agentsession_gateway.server import build_server
from agentsession_runner.exporting import Exporter
from agentsession_runner.orders import ExportOrder
from agentsession_runner.workspace import Workspace
from agentsession_testing.fake_cluster import terminal_review
from agentsession_testing.gateway import (
    HELLO,
    NO_NETWORK,
    POD_UID,
    RUN,
    SESSION,
    SESSION_UID,
    TOKEN,
    USER,
    Harness,
    stream_events,
)
from agentsession_testing.serving import plain_client, serving, until

PERSON = {"authorization": "Bearer a-person"}
PATH = f"{PREFIX}/{SESSION}/export"


@pytest.fixture
async def harness(store: MailboxStore, tmp_path: Path) -> AsyncIterator[Harness]:
    async with httpx.AsyncClient(transport=NO_NETWORK) as upstream:
        harness = Harness(store, Settings(), tmp_path, upstream)
        harness.add_session(observedGeneration=1, volumeClaimName="ada-workspace")
        harness.cluster.reviews["a-person"] = terminal_review()
        yield harness


@asynccontextmanager
async def gateway(harness: Harness) -> AsyncIterator[httpx.AsyncClient]:
    server = build_server(harness.app(), "127.0.0.1", 0, harness.hub.close)
    async with serving(server) as url, plain_client(base_url=url, timeout=20) as client:
        yield client


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "note.txt").write_text("hello")
    (root / "large").write_bytes(os.urandom(3_000_000))
    return root


async def asked(harness: Harness) -> ExportOrder:
    """The order, once somebody waits."""

    async def waits() -> bool:
        return await harness.store.export(USER) is not None

    await until(waits, "somebody waits for the workspace")
    export = await harness.store.export(USER)
    assert export is not None
    return ExportOrder(export.id, export.address)


async def hand_over(client: httpx.AsyncClient, order: ExportOrder, workspace: Path) -> list[str]:
    """What a runner does; answers its words."""
    token, said = workspace.parent / "token", list[str]()
    token.write_text(TOKEN)
    exporter = Exporter(Workspace(workspace), str(token), said.append)
    await exporter.carry_out(ExportOrder(order.export, str(client.base_url)))
    return said


async def test_whole_and_exact(harness: Harness, workspace: Path) -> None:
    await harness.begin_run()
    async with gateway(harness) as client:
        asking = asyncio.create_task(client.get(PATH, headers=PERSON))
        order = await asked(harness)
        assert order.address == "http://this-gateway:8080"
        assert await hand_over(client, order, workspace) == [
            f"export {order.export}: 2 files handed over, 0 names left out"
        ]
        answer = await asking
    assert answer.headers["content-type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        assert tar.getnames() == ["large", "note.txt"]
        large = tar.extractfile("large")
        assert large is not None
        assert large.read() == (workspace / "large").read_bytes()
    assert await harness.store.export(USER) is None


async def test_the_order_reaches_the_run_before_its_drain(harness: Harness) -> None:
    await harness.store.begin_export(USER, export="e1", address="http://elsewhere:8080")
    await harness.store.begin_run(
        USER, run=RUN, expected="", session_uid=SESSION_UID, launch=LaunchType.COLD,
        export_only=True,
    )  # fmt: skip
    async with gateway(harness) as client:
        client.headers["authorization"] = f"Bearer {TOKEN}"
        welcome = (await client.post("/v1/runner/hello", json=HELLO)).json()
        assert welcome["drained"] is True
        async with client.stream("GET", "/v1/runner/stream") as response:
            events = stream_events(response)
            seen = [await asyncio.wait_for(anext(events), 5) for _ in range(2)]
    assert [event.name for event in seen] == ["export", "drain"]
    assert seen[0].data == {"export": "e1", "address": "http://elsewhere:8080"}
    export = await harness.store.export(USER)
    assert export is not None
    assert export.run == RUN


@pytest.mark.parametrize("held", [False, True])
async def test_a_message_in_an_export_run(harness: Harness, held: bool) -> None:
    store = harness.store
    await store.begin_export(USER, export="e1", address="")
    await store.begin_run(
        USER, run=RUN, expected="", session_uid=SESSION_UID, launch=LaunchType.COLD,
        export_only=True, held=held,
    )  # fmt: skip
    await store.hello(USER, run=RUN, pod_uid=POD_UID, pod="pod")
    await store.ingest(USER, NewMessage(source=Source.TERMINAL, id="m1", text="hi"))
    begin = {"run": RUN, "pod_uid": POD_UID, "turn": "t1", "timeout_seconds": 10}
    assert (await store.begin_turn(USER, **begin)).answer is RunAnswer.DRAINED  # type: ignore[arg-type]
    await store.end_export(USER, export="e1")
    answer = await store.bye(USER, run=RUN, pod_uid=POD_UID)
    assert answer is (RunAnswer.BYE if held else RunAnswer.REOPENED)
    run = (await store.state(USER)).run
    assert run is not None
    assert run.state is (RunState.DRAINED if held else RunState.OPEN)


async def test_a_run_that_dies_in_it_leaves_no_whole_answer(harness: Harness) -> None:
    await harness.begin_run()

    async def half() -> AsyncIterator[bytes]:
        yield b"x" * 1024
        raise ConnectionError("the run dies")

    async with gateway(harness) as client:
        asking = asyncio.create_task(client.get(PATH, headers=PERSON))
        order = await asked(harness)
        with pytest.raises(ConnectionError):
            await client.post(
                f"/v1/runner/exports/{order.export}",
                content=half(),
                headers={"authorization": f"Bearer {TOKEN}"},
            )
        with pytest.raises(httpx.RemoteProtocolError):
            await asking
        assert await harness.store.export(USER) is None


async def test_a_person_who_goes_ends_it(harness: Harness, workspace: Path) -> None:
    (workspace / "large").write_bytes(b"x" * 40_000_000)
    await harness.begin_run()
    async with gateway(harness) as client:

        async def looks_and_goes() -> None:
            async with client.stream("GET", PATH, headers=PERSON) as taking:
                await anext(taking.aiter_bytes())

        going = asyncio.create_task(looks_and_goes())
        order = await asked(harness)
        [said] = await hand_over(client, order, workspace)
        await going
        assert "handed over" not in said
        assert await harness.store.export(USER) is None


async def test_one_at_a_time_and_only_with_a_workspace(harness: Harness) -> None:
    await harness.store.begin_export(USER, export="other", address="")
    async with gateway(harness) as client:
        answer = await client.get(PATH, headers=PERSON)
        assert (answer.status_code, answer.json()["code"]) == (409, "export_running")
        harness.add_session(observedGeneration=1)
        answer = await client.get(PATH, headers=PERSON)
        assert (answer.status_code, answer.json()["code"]) == (409, "no_workspace")
        # A run brings what was asked of it and nothing else.
        stray = await client.post(
            "/v1/runner/exports/other", headers={"authorization": f"Bearer {TOKEN}"}, content=b"x"
        )
        assert stray.status_code == 403
        await harness.begin_run()
        stray = await client.post(
            "/v1/runner/exports/other", headers={"authorization": f"Bearer {TOKEN}"}, content=b"x"
        )
        assert (stray.status_code, stray.json()["code"]) == (410, "unknown_export")
        answer = await client.get(PATH, headers={"authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 401
