"""Many chats at once on one bridge: everybody is answered, once.

`CHATS=1000` for a thousand; `FIGURES` names a file for what was measured, as `make bench` reads it.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from agentsession_core.api import LaunchType, TurnOutcome
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.api_server import ApiServer, running
from agentsession_testing.bridge_process import NAMESPACE, BridgeProcess
from agentsession_testing.serving import until
from agentsession_testing.telegram import Telegram, telegram_stand_in
from agentsession_testing.valkey import Valkey

CHATS = int(os.environ.get("CHATS", "60"))
FIRST = 10_000
PEOPLE = range(FIRST, FIRST + CHATS)
AT_ONCE = 32
SECONDS = 60.0 + CHATS / 2


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("api-server")) as server:
        server.install(NAMESPACE)
        yield server


@pytest.fixture
async def world() -> AsyncIterator[Telegram]:
    async with telegram_stand_in(flood_limits=True) as found:
        for person in PEOPLE:
            await found.join(person, f"Person {person}")
        yield found


@pytest.fixture
async def bridge(
    world: Telegram, api_server: ApiServer, valkey: Valkey, redis_client: Redis, tmp_path: Path
) -> AsyncIterator[BridgeProcess]:
    process = BridgeProcess(tmp_path, world.url, valkey.url, api_server.kubeconfig)
    process.allow(*PEOPLE)
    await process.start()
    yield process
    await process.kill()


@dataclass
class Seen:
    """What happened in the chats, by person; Unix seconds of the stand-in's clock."""

    written: dict[int, float] = field(default_factory=dict)
    acknowledged: dict[int, float] = field(default_factory=dict)
    answers: dict[int, list[tuple[float, str]]] = field(default_factory=dict)

    async def follow(self, world: Telegram) -> None:
        """Read the journal until everybody has an answer."""
        after = 0
        while len(self.answers) < CHATS:
            found = await world.get("journal", after=after, wait=5)
            for entry in found["entries"]:
                after = entry["sequence"]
                self._take(entry["kind"], entry["chat_id"], entry["at"], entry["data"])

    def _take(self, kind: str, person: int, at: float, data: dict[str, object]) -> None:
        if kind in ("reaction", "action"):
            self.acknowledged.setdefault(person, at)
        elif kind == "message" and data["from"]["is_bot"]:  # type: ignore[index]
            self.answers.setdefault(person, []).append((at, str(data.get("text", ""))))
        elif kind == "message":
            self.written[person] = at


async def play_the_agents(store: MailboxStore) -> None:
    """Answers whatever waits, in place of operator, gateway and runs."""
    served: set[str] = set()

    async def serve(mailbox: str) -> None:
        await store.begin_run(
            mailbox, run="uid/1", expected="", session_uid="uid", launch=LaunchType.COLD
        )
        await store.hello(mailbox, run="uid/1", pod_uid="pod", pod="pod")
        grant = await store.begin_turn(
            mailbox, run="uid/1", pod_uid="pod", turn=f"t{mailbox}", timeout_seconds=600
        )
        assert grant.turn is not None, grant
        result = ResultRecord(TurnOutcome.SUCCEEDED, f"**answer** for {mailbox}", "c")
        await store.commit_result(mailbox, run="uid/1", turn=grant.turn, result=result)

    while len(served) < CHATS:
        waiting = [mailbox for mailbox in await store.backlog() if mailbox not in served]
        for start in range(0, len(waiting), AT_ONCE):
            some = waiting[start : start + AT_ONCE]
            await asyncio.gather(*(serve(mailbox) for mailbox in some))
            served.update(some)
        await asyncio.sleep(0.05)


def status_of(bridge: BridgeProcess, name: str) -> float:
    """A size of the process, in MiB."""
    assert bridge.process is not None
    status = Path(f"/proc/{bridge.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def keep(figures: dict[str, Any]) -> None:
    """Writes what was measured where somebody wants it."""
    if "FIGURES" in os.environ:
        Path(os.environ["FIGURES"]).write_text(json.dumps(figures))


@pytest.mark.timeout(int(SECONDS) + 120)
async def test_everybody_is_answered_once(
    world: Telegram, bridge: BridgeProcess, redis_client: Redis, api_server: ApiServer
) -> None:
    idle, seen = status_of(bridge, "VmRSS"), Seen()
    gate = asyncio.Semaphore(AT_ONCE)

    async def write(person: int) -> None:
        async with gate:
            await world.write(person, f"hello from {person}")

    started = time.monotonic()
    async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as tasks:
        tasks.create_task(seen.follow(world))
        tasks.create_task(play_the_agents(MailboxStore(redis_client)))
        for person in PEOPLE:
            tasks.create_task(write(person))
    seconds = time.monotonic() - started
    for person in PEOPLE:
        assert [text for _, text in seen.answers[person]] == [f"answer for {person}"]

    path = f"/apis/agentsession.dev/v1alpha1/namespaces/{NAMESPACE}/agentsessions"

    def all_made() -> bool:
        return len(api_server.get(path)["items"]) == CHATS

    await until(all_made, "everybody has a session", SECONDS)
    sessions_seconds = time.monotonic() - started
    figures = {
        "chats": CHATS,
        "answered_per_second": CHATS / seconds,
        "all_sessions_made_seconds": sessions_seconds,
        "acknowledged_seconds": [seen.acknowledged[p] - seen.written[p] for p in PEOPLE],
        "answered_seconds": [seen.answers[p][0][0] - seen.written[p] for p in PEOPLE],
        "idle_mib": idle,
        "peak_mib": status_of(bridge, "VmHWM"),
    }
    keep(figures)
