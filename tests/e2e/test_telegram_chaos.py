"""kill -9 at random, in pods: of the bridge and of all that works behind it, while people write."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest

from agentsession_testing.chatters import joined, numbered, sent_twice, telegram_of
from agentsession_testing.cluster import Product
from agentsession_testing.node_processes import kill, require_local_node
from agentsession_testing.serving import until
from agentsession_testing.telegram import Telegram

# Of the people whom `make test` lets in.
ADA, BOB = 71, 72
PARTS = {
    "bridge": "agentsession-bridge",
    "operator": "agentsession-operator",
    "gateway": "agentsession-gateway",
    "redis": "valkey",
}
MESSAGES = 30
# The kubelet waits longer after each end of the same container.
SECONDS = 240.0


@pytest.fixture
async def world(product: Product) -> AsyncIterator[Telegram]:
    async with telegram_of(product) as found:
        yield found


async def test_whatever_is_killed_at_random_everybody_is_answered_once_and_in_order(
    product: Product, world: Telegram
) -> None:
    require_local_node()
    seed = int(os.environ.get("SEED") or time.time())
    print(f"SEED={seed}")
    chance = random.Random(seed)  # noqa: S311 -- times of crashes, no secret
    people = [await joined(product, world, ADA, "Ada"), await joined(product, world, BOB, "Bob")]
    strikes: dict[str, Callable[[], bool]] = {
        name: partial(kill_part, product, name, word) for name, word in PARTS.items()
    }
    strikes |= {f"run of {one.user}": partial(kill_run, product, one.session) for one in people}

    async def talk() -> None:
        for number in range(MESSAGES):
            await asyncio.gather(*(one.write(f"m{number}.") for one in people))
            await asyncio.sleep(chance.uniform(0.3, 1.0))

    async def strike() -> None:
        for name in [*chance.sample(list(strikes), len(strikes)), "bridge"]:
            await asyncio.sleep(chance.uniform(0.5, 3.0))
            await until(strikes[name], f"there was something to kill: {name}", SECONDS)
            print(f"killed: {name}")

    await asyncio.gather(talk(), strike())
    for one in people:
        await one.hears(f"m{MESSAGES - 1}.", seconds=SECONDS)
        texts = await one.answers()
        assert numbered(texts) == [f"m{number}." for number in range(MESSAGES)], texts
        # The bridge twice, Redis once: nobody can know whether what was on its way has arrived.
        assert sent_twice(texts) <= 3, texts


def kill_part(product: Product, component: str, word: str) -> bool:
    return any(kill(pod.metadata.uid, word) for pod in product.part(component))


def kill_run(product: Product, session: str) -> bool:
    return any(kill(pod.metadata.uid, "agentsession") for pod in product.pods(session))
