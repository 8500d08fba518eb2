"""Files of a chat in pods: stand-in, bridge, gateway, a run with the real CLI, and all the way back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from agentsession_testing.cluster import Product
from agentsession_testing.serving import until
from agentsession_testing.telegram import Telegram

# Of the people whom `make test` lets in.
ADA, BOB = 71, 72
SECONDS = 120.0
Message = dict[str, Any]


@pytest.fixture
async def world(product: Product) -> AsyncIterator[Telegram]:
    names = [f"telegram-{user}" for user in (ADA, BOB)]
    product.kubectl("delete", "agentsession", *names, "--ignore-not-found", "--timeout=60s")
    with product.port_forward(f"svc/{product.names.release}-telegram-server", 8081) as url:
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
            world = Telegram(url, http)
            await world.join(ADA, "Ada")
            await world.join(BOB, "Bob")
            yield world


async def newest(world: Telegram, user: int) -> int:
    return max((message["message_id"] for message in await world.messages(user)), default=0)


async def said(
    product: Product, world: Telegram, user: int, after: int, count: int
) -> list[Message]:
    """What the bot has said to a person since a message, once it is so much."""
    found: list[Message] = []

    async def there() -> bool:
        found[:] = [
            message
            for message in await world.messages(user)
            if message["from"]["is_bot"] and message["message_id"] > after
        ]
        return len(found) >= count

    try:
        await until(there, f"the bot says {count} things to {user}", SECONDS)
    except AssertionError as error:
        session = f"telegram-{user}"
        seen = product.describe(session, product.get(session))
        raise AssertionError(f"{error}; so far {found}\n{seen}") from None
    return found


async def test_a_file_comes_in_and_another_goes_out(product: Product, world: Telegram) -> None:
    before = await newest(world, ADA)
    command = "run: mkdir -p outbox && tr a-z A-Z < inbox/*/note.txt | tee outbox/loud.txt"
    sent = await world.http.post(
        "/_control/files",
        data={"user_id": str(ADA), "caption": command},
        files={"file": ("note.txt", b"ada keeps 4711\n")},
    )
    sent.raise_for_status()
    answer, document = await said(product, world, ADA, before, 2)
    assert "ADA KEEPS 4711" in answer["text"]
    assert document["document"]["file_name"] == "loud.txt"
    file = await world.http.get(f"/files/{document['document']['file_id']}")
    assert file.content == b"ADA KEEPS 4711\n"

    # Nobody else's, and the way that it came is none for an agent.
    before = await newest(world, BOB)
    bridge = f"{product.names.release}-bridge.{product.names.namespace}"
    probe = f"timeout 5 bash -c '</dev/tcp/{bridge}/8080' && echo reached || echo sealed"
    await world.write(BOB, f"run: ls -A; {probe}")
    [answer] = await said(product, world, BOB, before, 1)
    assert "sealed" in answer["text"]
    assert "inbox" not in answer["text"]
