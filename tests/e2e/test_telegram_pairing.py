"""A stranger and a code, in pods: let in by `kubectl agents approve`, until that is taken back."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator

import pytest

from agentsession_testing.agents_command import agents
from agentsession_testing.chatters import Chatter, joined, telegram_of
from agentsession_testing.cluster import Product
from agentsession_testing.serving import until
from agentsession_testing.telegram import Telegram
from kubectl_agents.errors import Exit

BOB = 72


@pytest.fixture
async def world(product: Product) -> AsyncIterator[Telegram]:
    async with telegram_of(product) as found:
        yield found


@pytest.fixture
async def stranger(product: Product, world: Telegram) -> AsyncIterator[Chatter]:
    # Another one each time: whoever was given a code is told nothing more for an hour.
    found = await joined(product, world, 10_000 + secrets.randbelow(10**9), "Fay")
    yield found
    product.kubectl("delete", "agentsession", found.session, "--ignore-not-found", "--timeout=60s")


async def test_a_code_lets_a_stranger_in_until_it_is_taken_back(
    product: Product, world: Telegram, stranger: Chatter
) -> None:
    await stranger.write("let me in")
    told = re.search(r"approve (\w{4}-\w{4})", await stranger.hears("kubectl agents approve"))
    assert told is not None
    said = agents(product, "approve", told[1]).stdout.decode()
    assert said == f"Fay ({stranger.user}) is let in\n"
    await stranger.hears("You are let in")
    # A code works once.
    agents(product, "approve", told[1], code=Exit.NOT_FOUND)
    await stranger.write("hello")
    await stranger.hears("This is message 1 of our conversation")

    agents(product, "revoke", str(stranger.user))
    before = await stranger.answers()
    await stranger.write("still there?")
    await until(lambda: all_taken(world), "the bridge has taken every update in")
    # Somebody else's whole turn later: nothing came of it.
    bob = await joined(product, world, BOB, "Bob")
    await bob.write("hello")
    await bob.hears("This is message 1 of our conversation")
    assert await stranger.answers() == before


async def all_taken(world: Telegram) -> bool:
    pending: int = (await world.get("state"))["pending_updates"]
    return pending == 0
