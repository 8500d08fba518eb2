"""The operator against an API server that fails: its whole process, a real API server, a proxy between."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from agentsession_core.api import TurnOutcome
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import ResultRecord, RunState
from agentsession_core.mailbox.store import MailboxStore
from agentsession_dev.api_proxy.app import ApiProxy
from agentsession_dev.api_proxy.faults import Fault, FaultBook
from agentsession_testing.api_server import ADMIN_TOKEN, WATCHES_FROM_ETCD, ApiServer, running
from agentsession_testing.kubeconfig import write_kubeconfig
from agentsession_testing.operator_process import (
    NAMESPACE,
    OperatorProcess,
    operator_settings,
    running_operator,
)
from agentsession_testing.serving import plain_server, serving, until
from agentsession_testing.valkey import Valkey

SESSIONS = f"/apis/agentsession.dev/v1alpha1/namespaces/{NAMESPACE}/agentsessions"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
# For a machine that does much else; nothing here waits for it.
SECONDS = 90.0


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("api-server"), WATCHES_FROM_ETCD) as server:
        server.install(NAMESPACE)
        yield server


@dataclass
class Ground:
    """What a test has in its hands."""

    server: ApiServer
    proxy: ApiProxy
    url: str
    valkey: Valkey
    store: MailboxStore
    folder: Path
    names: Iterator[int] = field(default_factory=itertools.count)

    def operator(self, **settings: Any) -> AbstractAsyncContextManager[OperatorProcess]:
        """An operator behind the proxy; nothing but events tells it of anything in a test's time."""
        folder = self.folder / f"operator-{next(self.names)}"
        folder.mkdir()
        kubeconfig = write_kubeconfig(folder / "kubeconfig", self.url, ADMIN_TOKEN)
        environment = {"KUBECONFIG": str(kubeconfig)}
        quiet = {"antiEntropySeconds": 3600, "sweepSeconds": 3600, **settings}
        return running_operator(folder, operator_settings(self.valkey.url, **quiet), environment)

    def apply(self, name: str, **spec: Any) -> dict[str, Any]:
        """Makes or changes a session, behind the proxy's back."""
        return self.server.apply(
            {
                "apiVersion": "agentsession.dev/v1alpha1",
                "kind": "AgentSession",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"user": {"id": name}, **spec},
            }
        )

    def delete(self, path: str) -> None:
        with self.server.client() as client:
            client.request("DELETE", path, params={"propagationPolicy": "Background"})

    def session(self, name: str) -> dict[str, Any]:
        return self.server.get(f"{SESSIONS}/{name}")

    def jobs(self, name: str) -> list[str]:
        """Names of the session's Jobs."""
        return sorted(
            job["metadata"]["name"]
            for job in self.server.get(JOBS)["items"]
            if job["metadata"]["labels"].get("agentsession.dev/session") == name
        )

    async def started(self, *names: str, seconds: float = SECONDS) -> None:
        """Waits until each session has one Job, and names it."""

        def all_have() -> bool:
            return all(
                self.jobs(name) == [self.session(name).get("status", {}).get("jobName")]
                for name in names
            )

        await until(all_have, f"one Job each for {', '.join(names)}", seconds)

    async def hello(self, name: str) -> None:
        """The run's pod says hello, as far as Redis knows."""
        run = (await self.store.state(name)).run
        assert run is not None
        await self.store.hello(name, run=run.run, pod_uid="uid-of-pod", pod="pod")

    async def answered(self, name: str) -> None:
        """The run's pod says hello and answers what waits, as far as Redis knows."""
        await self.hello(name)
        run = (await self.store.state(name)).run
        assert run is not None
        grant = await self.store.begin_turn(
            name, run=run.run, pod_uid="uid-of-pod", turn=f"turn-of-{name}", timeout_seconds=60
        )
        assert grant.turn
        result = ResultRecord(TurnOutcome.SUCCEEDED, "hello")
        await self.store.commit_result(name, run=run.run, turn=grant.turn, result=result)

    async def idle(self, name: str, seconds: float) -> bool:
        """Whether the mailbox has been without a turn or a message for so long."""
        state = await self.store.state(name)
        return state.last_activity is not None and state.now > state.last_activity + seconds

    async def drained(self, name: str) -> None:
        """Waits until the run has been told to end."""

        async def told() -> bool:
            run = (await self.store.state(name)).run
            return run is not None and run.state is RunState.DRAINED

        await until(told, f"{name} is told to end", SECONDS)

    async def mailbox_gone(self, name: str) -> None:
        """Waits until nothing of the session's mailbox is in Redis."""

        async def nothing() -> bool:
            return name not in await self.store.mailboxes()

        await until(nothing, f"the mailbox of {name} is gone", SECONDS)

    def times(self, method: str, path: str, *, since: float = 0.0) -> list[float]:
        """When the proxy answered such requests."""
        return [
            seen.at
            for seen in self.proxy.seen
            if seen.method == method and path in seen.path and seen.at >= since
        ]


@pytest.fixture
async def ground(
    api_server: ApiServer, valkey: Valkey, store: MailboxStore, tmp_path: Path
) -> AsyncIterator[Ground]:
    proxy = ApiProxy(api_server.url, FaultBook(seed=1))
    async with serving(plain_server(proxy)) as url:
        ground = Ground(api_server, proxy, url, valkey, store, tmp_path)
        yield ground
    await proxy.close()
    for path in (SESSIONS, JOBS):
        ground.delete(path)


async def test_what_was_deleted_while_the_watches_were_cut_is_found_after_a_410(
    ground: Ground,
) -> None:
    async with ground.operator() as operator:
        await operator.ready()
        for name in ("stays", "goes"):
            ground.apply(name, prompt="hello")
        await ground.started("stays", "goes")
        ground.proxy.faults.add(Fault(method="WATCH", status=503))
        ground.proxy.end_watches(cut=True)
        ground.delete(f"{SESSIONS}/goes")
        ground.delete(f"{JOBS}/stays-r1")
        ground.apply("comes", prompt="hello")
        await asyncio.to_thread(ground.server.compact)
        ground.proxy.faults.clear()
        await ground.started("comes")
        await ground.mailbox_gone("goes")
        # Its message still waits, so the run whose Job went is made again.
        await until(lambda: len(ground.jobs("stays")) == 1, "another Job", SECONDS)
        assert "a deletion was missed" in operator.said


async def test_what_was_deleted_before_the_watches_began_is_found(ground: Ground) -> None:
    # kopf asks what kinds there are before it lists any; the operator's own list does without.
    ground.proxy.faults.add(Fault(path="/apis$", status=503))
    for name in ("stays", "goes"):
        ground.apply(name)
    async with ground.operator() as operator:

        def looked_at() -> bool:
            sessions = [ground.session(name) for name in ("stays", "goes")]
            return all("phase" in session.get("status", {}) for session in sessions)

        await until(looked_at, "both are looked at, before any watch begins", SECONDS)
        ground.delete(f"{SESSIONS}/goes")
        assert "a deletion was missed" not in operator.said
        ground.proxy.faults.clear()
        await operator.ready()
        await until(lambda: "a deletion was missed" in operator.said, "it is found", SECONDS)


async def test_an_api_server_that_is_killed_and_comes_back(ground: Ground) -> None:
    async with ground.operator() as operator:
        await operator.ready()
        ground.apply("before", prompt="hello")
        await ground.started("before")
        ground.server.kill_api_server()
        # A word from Redis: the operator looks, and cannot write what it sees.
        await ground.hello("before")
        await asyncio.to_thread(ground.server.start_api_server)
        ground.apply("after", prompt="hello")
        await ground.started("before", "after")
        assert operator.process is not None
        assert operator.process.returncode is None, "it waits; kubelet need not start it again"


async def test_an_operator_that_starts_before_the_api_server_waits_for_it(ground: Ground) -> None:
    ground.apply("early", prompt="hello")
    ground.proxy.faults.add(Fault(status=503))
    async with ground.operator() as operator:

        async def says_why() -> bool:
            status, text = await operator.readiness()
            return status == 503 and "waits for the API server" in text

        await until(says_why, "the operator says what it waits for", SECONDS)
        ground.proxy.faults.clear()
        await operator.ready()
        await ground.started("early")


async def test_refusals_errors_and_lost_answers_delay_and_double_nothing(ground: Ground) -> None:
    async with ground.operator() as operator:
        await operator.ready()
        fault = Fault(method="POST", path="/jobs$", status=429, retry_after=2, count=2)
        ground.proxy.faults.add(fault)
        for name in ("one", "two", "three"):
            ground.apply(name, prompt="hello")
        await ground.started("one", "two", "three")
        refused = [seen.at for seen in ground.proxy.seen if seen.status == 429]
        assert len(refused) == 2
        for at in refused:
            # The others were under way already.
            later = [again for again in ground.times("POST", "/jobs") if again > at + 0.5]
            assert min(later) >= at + 1.9, "nobody asks again before the time"

        ground.proxy.faults.add(
            Fault(effect="lost", method="POST", path="/jobs$", status=504, count=2)
        )
        ground.proxy.faults.add(Fault(status=500, share=0.3, count=20))
        names = [f"many-{n}" for n in range(5)]
        for name in names:
            ground.apply(name, prompt="hello")
        await ground.started(*names)
        assert ground.proxy.faults.hits["504"] == 2
        assert ground.proxy.faults.hits["500"] > 0
        await ground.started("one", "two", "three", *names)


async def test_watches_that_fall_silent_are_begun_again(ground: Ground) -> None:
    async with ground.operator(watchSilenceSeconds=4) as operator:
        await operator.ready()
        ground.apply("heard", prompt="hello")
        await ground.started("heard")
        assert ground.proxy.end_watches(cut=False) >= 5
        ground.apply("unheard", prompt="hello")
        await ground.started("unheard", seconds=15)


async def test_a_status_is_written_once_a_second_and_anew_after_a_conflict(ground: Ground) -> None:
    def policy(seconds: int) -> dict[str, Any]:
        return ground.apply("busy", prompt="hello", idlePolicy={"suspendAfterSeconds": seconds})

    async def told(applied: dict[str, Any]) -> None:
        generation = applied["metadata"]["generation"]

        def written() -> bool:
            return bool(ground.session("busy")["status"]["observedGeneration"] == generation)

        await until(written, "the status is of the newest spec", SECONDS)

    async with ground.operator() as operator:
        await operator.ready()
        ground.apply("busy", prompt="hello")
        await ground.started("busy")
        for seconds in range(10, 40):
            policy(seconds)
            await asyncio.sleep(0.1)
        await told(policy(99))
        writes = ground.times("PATCH", "/busy/status")
        assert 2 <= len(writes) < 20, "of 31 changes"
        gaps = [after - before for before, after in itertools.pairwise(writes)]
        assert min(gaps) >= 0.9, gaps

        # Deaf for what comes, and made to write by a word from Redis.
        ground.proxy.end_watches(cut=False)
        changed = policy(7)
        await ground.hello("busy")
        await told(changed)
        assert 409 in {seen.status for seen in ground.proxy.seen if seen.method == "PATCH"}


async def test_two_operators_at_once_make_one_job_and_lose_no_message(
    ground: Ground, redis_client: Redis
) -> None:
    names = [f"shared-{n}" for n in range(12)]
    async with ground.operator() as first, ground.operator() as second:
        await asyncio.gather(first.ready(), second.ready())
        for name in names:
            ground.apply(name, prompt="hello")
        await ground.started(*names)
        for name in names:
            ground.apply(name, prompt="and again")

        async def all_wait() -> bool:
            states = [await ground.store.state(name) for name in names]
            return all(state.waiting == 2 for state in states)

        await until(all_wait, "both prompts of every session wait, once", SECONDS)
        assert [ground.jobs(name) for name in names] == [[f"{name}-r1"] for name in names]
        for name in names:
            assert await redis_client.xlen(MailboxKeys(name).incoming) == 2
            run = (await ground.store.state(name)).run
            assert run is not None
            assert run.state is RunState.OPEN


async def test_an_operator_that_was_killed_keeps_the_appointments_it_had(ground: Ground) -> None:
    policy = {"suspendAfterSeconds": 4, "deleteAfterSeconds": 3600}
    async with ground.operator() as operator:
        await operator.ready()
        for name in ("past", "future"):
            ground.apply(name, prompt="hello", idlePolicy=policy)
        await ground.started("past", "future")
        await ground.answered("past")
        await operator.end()
        # Nobody tells of the one's time; the other's comes when the next operator runs.
        await until(lambda: ground.idle("past", 5.0), "the time has come", SECONDS)
        await ground.answered("future")
        await operator.start()
        for name in ("past", "future"):
            await ground.drained(name)
