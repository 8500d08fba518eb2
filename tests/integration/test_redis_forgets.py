"""Redis is emptied, or goes back in time, under the real operator, gateway and runners.

Nobody is suspended or deleted because of it, live runs go on, nothing is answered twice, and what was
lost is said.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agentsession_core import naming
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_testing.serving import until
from agentsession_testing.valkey import entries
from chaos.ground import NAMESPACE, Ground, process_ground
from chaos.ledger import Ledger

pytestmark = pytest.mark.asyncio(loop_scope="module")
SECONDS = 90.0
# What is deleted leaves its volume.
RETAIN = {"retentionPolicy": {"whenDeleted": "Retain"}}
Body = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    program = os.environ.get("LOCALKUBE_BINARY")
    if not program:
        pytest.skip("LOCALKUBE_BINARY is not set: make test sets it where the local cluster is")
    folder = tmp_path_factory.mktemp("forgets") / "ground"
    async with process_ground(folder, program, 1, 1, Ledger()) as made:
        yield made


class Person:
    """Somebody with a session; session, user and mailbox have one name."""

    def __init__(self, ground: Ground, name: str) -> None:
        self.ground = ground
        self.name = name
        self.path = f"{ground.objects(naming.SESSION_PLURAL)}/{name}"
        self.seen: Body = {}

    async def create(self, **spec: Any) -> None:
        body = {
            "apiVersion": naming.API_VERSION,
            "kind": naming.SESSION_KIND,
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": {"user": {"id": self.name}, **spec},
        }
        await self.ground.kube.call("POST", self.path.rpartition("/")[0], body)

    async def create_again(self) -> None:
        """What was deleted, from its last state: a new object with a new uid and no status."""
        old = self.seen
        made = await self.ground.kube.call(
            "POST",
            self.path.rpartition("/")[0],
            {
                **{name: old[name] for name in ("apiVersion", "kind", "spec")},
                "metadata": {"name": self.name, "namespace": NAMESPACE},
            },
        )
        assert made["metadata"]["uid"] != old["metadata"]["uid"]

    async def delete(self) -> None:
        await self.status()
        await self.ground.kube.call("DELETE", self.path)

    async def change(self, **spec: Any) -> None:
        await self.ground.kube.merge(self.path, {"spec": spec})

    async def write(self, message: str, text: str = "hello") -> None:
        """As a bridge does: first Redis, then the session."""
        new = NewMessage(source=Source.TELEGRAM, id=message, chat=self.name, text=text)
        await self.ground.store.ingest(self.name, new)
        now: Any = await self.ground.redis.time()
        at = datetime.fromtimestamp(int(now[0]), UTC).isoformat()
        await self.change(inbox={"lastMessageID": message, "lastMessageTime": at})

    async def said(self) -> list[tuple[str, list[str]]]:
        """(kind, reply_to) of everything in outgoing."""
        found = await entries(self.ground.redis, MailboxKeys(self.name).outgoing)
        return [(entry["kind"], json.loads(entry["reply_to"])) for _, entry in found]

    async def hears(self, *said: tuple[str, list[str]]) -> None:
        """Until exactly this stands in outgoing."""

        async def holds() -> bool:
            return await self.said() == list(said)

        await self._until(holds, f"outgoing holds {said}")

    async def status(self) -> Body:
        self.seen = await self.ground.kube.get(self.path)
        status: Body = self.seen.get("status", {})
        return status

    async def degraded(self) -> str:
        conditions = (await self.status()).get("conditions", [])
        return str(next((c["reason"] for c in conditions if c["type"] == "Degraded"), ""))

    async def has(self, what: str, **wanted: Any) -> Body:
        """The status once it has these fields."""

        async def holds() -> bool:
            status = await self.status()
            return all(status.get(name) == value for name, value in wanted.items())

        await self._until(holds, what)
        return await self.status()

    async def answered(self, message: str) -> None:
        async def holds() -> bool:
            status = await self.status()
            return status.get("lastHandledMessageID") == message and status["phase"] == "Idle"

        await self._until(holds, f"{message} is answered")

    async def until_degraded(self, reason: str) -> None:
        async def holds() -> bool:
            return await self.degraded() == reason

        await self._until(holds, f"Degraded says {reason}")

    async def events(self) -> list[str]:
        listed = await self.ground.kube.get(f"/api/v1/namespaces/{NAMESPACE}/events")
        return [
            event["reason"]
            for event in listed["items"]
            if event["involvedObject"]["name"] == self.name
        ]

    async def _until(self, holds: Any, what: str) -> None:
        try:
            await until(holds, f"{self.name}: {what}", SECONDS)
        except AssertionError as error:
            logs = [
                f"{worker.name}: {worker.log.read_text(errors='replace')[-2500:]}"
                for worker in self.ground.workers
            ]
            raise AssertionError("\n".join([str(error), json.dumps(self.seen), *logs])) from None


async def known_again(ground: Ground) -> None:
    async def marked() -> bool:
        return await ground.store.epoch() is not None

    await until(marked, "the operator has marked Redis as known", SECONDS)


async def test_emptied_under_live_runs_and_while_nobody_ran(ground: Ground) -> None:
    anna, ben, cora = (Person(ground, name) for name in ("anna", "ben", "cora"))
    policy = {"suspendAfterSeconds": 3000, "deleteAfterSeconds": 4000}
    await anna.create(idlePolicy=policy)
    await ben.create(idlePolicy=policy)
    await cora.create(idlePolicy={"suspendAfterSeconds": 0}, prompt="hello")
    await anna.write("a1")
    await ben.write("b1", "wait for ever")
    await anna.answered("a1")
    before = await anna.status()
    await cora.has("is asleep after its answer", phase="Suspended")
    await ben.has("is at work", phase="Working")

    await ground.redis.flushall()
    await known_again(ground)
    await anna.until_degraded("RedisStateLost")
    # Neither the run nor its pod has changed, and the conversation goes on.
    await anna.write("a2")
    await anna.answered("a2")
    after = await anna.status()
    for name in ("runs", "podName", "agentSessionID"):
        assert after[name] == before[name], name
    assert after["usage"]["turns"] == 2
    assert await anna.degraded() == "Healthy"
    assert await anna.said() == [("answer", ["a2"])]

    # b1 is lost, and everybody knows; the run that worked on it goes on with the next message.
    async def told() -> bool:
        return "MessageLost" in await ben.events()

    await until(told, "an Event tells of the lost message", SECONDS)
    assert await ben.said() == [("notice", ["b1"])]
    await ben.write("b2")
    await ben.answered("b2")
    assert (await ben.status())["runs"] == 1

    # Cora's prompt was answered and does not run again; a changed one does.
    asleep = await cora.status()
    assert (asleep["usage"]["turns"], asleep["phase"]) == (1, "Suspended")
    assert "MessageLost" not in await cora.events()

    # Again, while neither operator nor gateway runs.
    for worker in ground.workers:
        assert worker.kill()
    await ground.redis.flushall()
    await known_again(ground)
    await cora.change(prompt="hello again")
    woken = await cora.has("has answered the changed prompt", phase="Suspended", runs=2)
    assert woken["usage"]["turns"] == 2
    assert woken["agentSessionID"] == asleep["agentSessionID"]
    await anna.write("a3")
    await anna.answered("a3")
    assert (await anna.status())["runs"] == 1
    for person in (anna, ben, cora):
        assert "deletionTimestamp" not in person.seen["metadata"]


async def copy_redis(ground: Ground, copy: Path) -> None:
    """Redis' file, copied while nothing writes to it."""
    ground.redis_server.kill()
    shutil.copytree(redis_folder(ground), copy)
    await ground.redis_server.start()


async def put_back(ground: Ground, copy: Path) -> None:
    """As docs/backup.md has it: nobody decides until the file is there and its mark is gone."""
    ground.redis_server.kill()
    shutil.rmtree(redis_folder(ground))
    shutil.copytree(copy, redis_folder(ground))
    for worker in ground.workers:
        worker.kill()
    await ground.redis_server.start()
    await ground.redis.delete(keys.SESSIONS_EPOCH)


def redis_folder(ground: Ground) -> Path:
    return Path(ground.folder) / "redis" / "appendonlydir"


async def test_restored_from_an_older_file_answers_nothing_twice(
    ground: Ground, tmp_path: Path
) -> None:
    """The file has a message that waits and the word that it does, an older prompt and a run less."""
    dora, emma = Person(ground, "dora"), Person(ground, "emma")
    await dora.create(idlePolicy={"suspendAfterSeconds": 0}, operatingMode="Suspended")
    await emma.create(idlePolicy={"suspendAfterSeconds": 0}, prompt="first")
    await dora.write("d1")
    held = ("notice", list[str]())
    await dora.hears(held)
    await emma.has("is asleep after its answer", phase="Suspended", runs=1)
    await copy_redis(ground, tmp_path / "backup")

    await dora.change(operatingMode="Running")
    await emma.change(prompt="second")
    await dora.has("d1 is answered", lastHandledMessageID="d1", phase="Suspended")
    await dora.hears(held, ("answer", ["d1"]))
    later = await emma.has("the second prompt is answered", phase="Suspended", runs=2)

    await put_back(ground, tmp_path / "backup")
    assert (await ground.store.state("dora")).waiting == 1
    assert await dora.said() == [held]
    await known_again(ground)
    await dora.until_degraded("RedisStateLost")
    assert (await ground.store.state("dora")).waiting == 0
    await dora.write("d2")
    status = await dora.has("d2 is answered", lastHandledMessageID="d2", phase="Suspended")
    # Without a second answer to d1, and not told anew that it is held.
    assert await dora.said() == [held, ("answer", ["d2"])]
    assert status["runs"] == 2
    again = await emma.has("sleeps", phase="Suspended")
    assert (again["runs"], again["lastHandledMessageID"]) == (2, later["lastHandledMessageID"])
    assert (await ground.store.state("emma")).waiting == 0


async def test_sessions_made_anew_go_on_where_the_old_ones_were(
    ground: Ground, tmp_path: Path
) -> None:
    """Deleted by mistake, mailboxes and all; their volumes and a copy of Redis stayed."""
    asked, waiting = Person(ground, "fay"), Person(ground, "gus")
    await asked.create(idlePolicy={"suspendAfterSeconds": 0}, prompt="first", workspace=RETAIN)
    await waiting.create(idlePolicy={"suspendAfterSeconds": 0}, operatingMode="Suspended")
    await waiting.write("g1")
    held = ("notice", list[str]())
    await waiting.hears(held)
    before = await asked.has("is asleep after its answer", phase="Suspended", runs=1)
    await copy_redis(ground, tmp_path / "backup")
    for person in (asked, waiting):
        await person.delete()

    async def ended() -> bool:
        return (await ground.store.state(asked.name)).session_uid is None

    await until(ended, "its mailbox went with the session", SECONDS)
    await put_back(ground, tmp_path / "backup")
    await known_again(ground)
    for person in (asked, waiting):
        await person.create_again()

    await asked.has("sleeps", phase="Suspended")
    await asked.change(prompt="second")
    # Without its status a session counts its runs anew.
    after = await asked.has("the second prompt is answered", phase="Suspended", runs=1)
    assert after["usage"]["turns"] == 2, "the first prompt did not run again"
    assert after["launchType"] == "resume"
    for name in ("agentSessionID", "volumeClaimName"):
        assert after[name] == before[name], name
    await waiting.change(operatingMode="Running")
    await waiting.has("g1 is answered", lastHandledMessageID="g1", phase="Suspended")
    assert await waiting.said() == [held, ("answer", ["g1"])]
