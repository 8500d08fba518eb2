"""Two bridges in pods: one works; when it is killed the other does, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime

import httpx
import pytest

from agentsession_testing.chatters import (
    SECONDS,
    Chatter,
    joined,
    numbered,
    sent_twice,
    telegram_of,
)
from agentsession_testing.cluster import Product
from agentsession_testing.node_processes import kill, require_local_node
from agentsession_testing.serving import until
from agentsession_testing.telegram import Telegram

# Of the people whom `make test` lets in.
ADA, BOB = 71, 72
LEADER = re.compile(r"^agentsession_bridge_leader 1\.0$", re.MULTILINE)


class Bridges:
    """The bridge's pods."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._namespace = product.names.namespace
        self._deployment = f"deployment/{product.names.release}-bridge"

    def scale(self, replicas: int) -> None:
        kubectl = self._product.kubectl
        kubectl("scale", self._deployment, f"--replicas={replicas}", namespace=self._namespace)
        kubectl("rollout", "status", self._deployment, "--timeout=90s", namespace=self._namespace)

    def pods(self) -> dict[str, str]:
        """Uids by name of those that run."""
        return {
            pod.metadata.name: pod.metadata.uid
            for pod in self._product.part("bridge")
            if pod.status.phase == "Running"
        }

    def leaders(self) -> list[str]:
        """Names of those that say they do the work."""
        return [name for name in self.pods() if LEADER.search(self._metrics(name))]

    def kill(self, name: str) -> None:
        """kill -9, and no chance to come back under its name."""
        assert kill(self.pods()[name], "agentsession-bridge")
        self._product.core.delete_namespaced_pod(name, self._namespace, grace_period_seconds=0)

    def began_to_lead(self, name: str) -> float:
        """When the pod's bridge took the lease, in Unix seconds."""
        log = self._product.kubectl("logs", name, namespace=self._namespace)
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        [at] = [line["at"] for line in lines if line["event"] == "this bridge does the work"]
        return datetime.fromisoformat(at).timestamp()

    def _metrics(self, name: str) -> str:
        try:
            with self._product.port_forward(f"pod/{name}", 9090) as url:
                return httpx.get(f"{url}/metrics", timeout=10, trust_env=False).text
        except httpx.TransportError:
            # It starts, or ends.
            return ""


@pytest.fixture
async def world(product: Product) -> AsyncIterator[Telegram]:
    async with telegram_of(product) as found:
        yield found


@pytest.fixture
def bridges(product: Product) -> Iterator[Bridges]:
    require_local_node()
    found = Bridges(product)
    found.scale(2)
    yield found
    found.scale(1)


async def test_of_two_bridges_one_polls_and_the_other_takes_over_when_it_is_killed(
    product: Product, world: Telegram, bridges: Bridges
) -> None:
    people = [await joined(product, world, ADA, "Ada"), await joined(product, world, BOB, "Bob")]
    last = (await world.get("journal", kind="webhook"))["last"]
    await until(lambda: len(bridges.leaders()) == 1, "one of two leads", SECONDS)
    [leader] = bridges.leaders()
    assert len(bridges.pods()) == 2
    await everybody_writes(people, range(3))
    polls = await world.get("journal", kind="call", method="getUpdates", after=last)
    assert {entry["data"]["status"] for entry in polls["entries"]} == {200}

    bridges.kill(leader)
    killed_at = time.time()
    await everybody_writes(people, range(3, 6))
    await asyncio.gather(*(one.hears("m5.") for one in people))
    print(f"answered {time.time() - killed_at:.1f} s after the leader was killed")
    [successor] = bridges.leaders()
    assert successor != leader
    print(f"took over {bridges.began_to_lead(successor) - killed_at:.1f} s after it")
    for one in people:
        texts = await one.answers()
        assert numbered(texts) == [f"m{number}." for number in range(6)], texts
        # What was on its way when it died is sent again: nobody can know whether it arrived.
        assert sent_twice(texts) <= 1, texts


async def everybody_writes(people: list[Chatter], numbers: range) -> None:
    for number in numbers:
        await asyncio.gather(*(one.write(f"m{number}.") for one in people))
