"""More sessions than places: real API server, Redis, operator, gateway and runners; a played node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentsession_core import naming
from agentsession_core.mailbox.keys import SESSIONS_QUEUE
from agentsession_testing.api_server import cluster_program
from agentsession_testing.serving import until
from chaos.ground import NAMESPACE, OPERATOR, Ground, process_ground
from chaos.kube import Body
from chaos.ledger import Ledger

SECONDS = 60.0


@pytest.fixture
def program() -> str:
    return cluster_program()


class Stage:
    """Sessions on a ground."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    def path(self, name: str) -> str:
        return f"{self.ground.objects(naming.SESSION_PLURAL)}/{name}"

    async def apply(self, name: str, prompt: str, *, user: str | None = None, **spec: Any) -> None:
        manifest: Body = {
            "apiVersion": naming.API_VERSION,
            "kind": naming.SESSION_KIND,
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "user": {"id": user or name},
                "mailbox": name,
                "prompt": prompt,
                "run": {"turnTimeoutSeconds": 60, "activeDeadlineSeconds": 900},
                **spec,
            },
        }
        await self.ground.kube.call("POST", self.ground.objects(naming.SESSION_PLURAL), manifest)

    async def status(self, name: str) -> Body:
        found: Body = (await self.ground.kube.get(self.path(name))).get("status", {})
        return found

    async def wait(self, name: str, what: str, condition: Callable[[Body], bool]) -> Body:
        """Until the session's status is so; fails with what it was."""
        seen: Body = {}

        async def holds() -> bool:
            nonlocal seen
            seen = await self.status(name)
            return condition(seen)

        try:
            await until(holds, f"{name}: {what}", SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{seen}\n{self.log()}") from None
        return seen

    async def answered(self, name: str) -> Body:
        return await self.wait(
            name, "answered", lambda s: s.get("lastTurn", {}).get("outcome") == "Succeeded"
        )

    async def queued(self, name: str, position: int | None = None) -> Body:
        return await self.wait(
            name,
            f"queued at {position}",
            lambda s: s.get("phase") == "Queued" and position in (None, s.get("queuePosition")),
        )

    async def positions(self) -> dict[str, int]:
        members: Any = await self.ground.redis.zrange(SESSIONS_QUEUE, 0, -1)
        names = [name.decode() for name in members]
        found = {name: await self.ground.store.queue_position(name) for name in names}
        return {name: place for name, place in found.items() if place is not None}

    async def began(self, name: str) -> float:
        """When the session's newest run began."""
        run = (await self.ground.store.state(name)).run
        assert run is not None, f"{name} has no run"
        return run.begun_at

    def log(self) -> str:
        return self.ground.operators[0].log.read_text(errors="replace")[-4000:]

    def open_gates(self) -> None:
        """Lets every gated turn end, also those to come."""
        for started in self.ground.folder.glob("volumes/*/started"):
            started.with_name("open").touch()


@asynccontextmanager
async def stage(
    folder: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    """One place, and nobody is asleep before the test is over unless it had to yield."""
    monkeypatch.setitem(OPERATOR, "maxConcurrentRuns", 1)
    ledger = Ledger()
    async with process_ground(folder / "ground", program, 1, 1, ledger) as ground:
        yield Stage(ground)
    assert not ledger.violations, ledger.violations


async def test_an_idle_run_yields_to_whoever_waits_and_each_gets_a_turn(
    tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path, program, monkeypatch) as on:
        await on.apply("anna", "hello")
        await on.answered("anna")
        await on.wait("anna", "idle", lambda s: s.get("phase") == "Idle")
        await on.apply("ben", "gated")
        yielded = await on.wait("anna", "yielded", lambda s: s.get("phase") == "Suspended")
        why = {c["type"]: c["reason"] for c in yielded["conditions"]}
        assert why["Suspended"] == "Yielded"

        async def ben_works() -> bool:
            return (await on.ground.store.state("ben")).turn is not None

        await until(ben_works, "ben works", SECONDS)
        # A run in a turn does not yield: the others queue, the user's second behind another's first.
        await on.apply("ben-2", "hello", user="ben")
        await on.queued("ben-2", 1)
        await on.apply("cleo", "hello")
        await on.queued("cleo", 1)

        async def both() -> bool:
            return await on.positions() == {"cleo": 1, "ben-2": 2}

        await until(both, "both positions are in Redis", SECONDS)
        ready = {c["type"]: c for c in (await on.status("cleo"))["conditions"]}["Ready"]
        assert ready["reason"] == "Queued"
        assert "Number 1 of 2" in ready["message"]
        assert len(on.ground.node.running) == 1

        # The order is not the operator's memory.
        on.ground.operators[0].kill()
        await until(on.ground.operators[0].is_ready, "the operator is back", SECONDS)
        await until(both, "both positions are in Redis again", SECONDS)
        on.open_gates()
        await on.answered("cleo")
        await on.answered("ben-2")
        assert await on.began("ben") < await on.began("cleo") < await on.began("ben-2")
        await until(lambda: _empty(on), "nobody queues any more", SECONDS)
        runs = [(await on.status(name))["runs"] for name in ("anna", "ben", "ben-2", "cleo")]
        assert runs == [1, 1, 1, 1]


async def _empty(on: Stage) -> bool:
    return await on.positions() == {}
