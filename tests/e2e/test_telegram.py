"""People in a chat, in pods: stand-in, bridge, Redis, operator, run, gateway, and all the way back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from functools import partial

import pytest

from agentsession_testing.chatters import (
    HANG,
    SECONDS,
    Chatter,
    in_its_tool,
    joined,
    numbered,
    sent_twice,
    telegram_of,
)
from agentsession_testing.cluster import ModelServer, Product
from agentsession_testing.node_processes import kill, require_local_node
from agentsession_testing.serving import until
from agentsession_testing.telegram import Telegram

# The people whom `make test` lets in; Eve is nobody's guest.
ADA, BOB, EVE = 71, 72, 73


@pytest.fixture
async def world(product: Product) -> AsyncIterator[Telegram]:
    async with telegram_of(product) as found:
        yield found


@pytest.fixture
async def chatters(product: Product, world: Telegram) -> tuple[Chatter, Chatter]:
    """Ada and Bob, without any session from before."""
    return await joined(product, world, ADA, "Ada"), await joined(product, world, BOB, "Bob")


@pytest.fixture
def ada(chatters: tuple[Chatter, Chatter]) -> Chatter:
    return chatters[0]


async def test_a_conversation_with_a_stop_a_wake_and_a_new_beginning(
    product: Product, ada: Chatter, model_server: ModelServer
) -> None:
    last = (await ada.world.get("journal", kind="webhook"))["last"]
    theirs = await ada.write("remember that the sky is blue")
    seen = await ada.world.wait("reaction", chat_id=ADA, after=last)
    assert seen["data"]["message_id"] == theirs
    await ada.hears("I wrote it into notes.txt")
    made = product.get(ada.session)
    assert made["spec"]["user"] == {"id": str(ADA), "displayName": "Ada"}
    assert made["spec"]["mailbox"] == str(ADA)
    await ada.write("what should you remember?")
    await ada.hears("the sky is blue")

    before = len(model_server.requests(HANG))
    await ada.write(HANG)
    await in_its_tool(model_server, HANG, before + 1)
    began = time.monotonic()
    await ada.write("/stop")
    await ada.hears("Stopped.")
    print(f"stopped after {time.monotonic() - began:.2f} s")
    await ada.write("hello")
    await ada.hears("This is message 4 of our conversation")
    [pod] = product.pods(ada.session)

    product.patch(ada.session, idlePolicy={"suspendAfterSeconds": 1})
    product.wait_phase(ada.session, "Suspended")
    began = time.monotonic()
    await ada.write("what did I say first?")
    await ada.hears("Your first message in this conversation was: remember that the sky is blue")
    print(f"answered {time.monotonic() - began:.2f} s after it slept")
    product.patch(ada.session, idlePolicy=None)
    woken = product.get(ada.session)
    assert woken["status"]["runs"] == 2
    assert pod.metadata.name not in {
        p.metadata.name for p in product.pods(ada.session) if p.status.phase == "Running"
    }

    await ada.write("/new")
    await ada.hears("A new conversation begins")
    await ada.write("what was my first message?")
    await ada.hears("This is your first message in this conversation")
    await ada.write("show me the notes")
    await ada.hears("the sky is blue", times=3)


async def test_two_people_never_see_anything_of_each_other_s(
    product: Product, chatters: tuple[Chatter, Chatter], model_server: ModelServer
) -> None:
    secrets = {ADA: "ada-keeps-4711", BOB: "bob-keeps-0815"}
    await asyncio.gather(*(c.write(f"remember {secrets[c.user]}") for c in chatters))
    await asyncio.gather(*(c.hears("I wrote it into notes.txt") for c in chatters))
    await asyncio.gather(*(c.write("run: cat notes.txt; ls -A /workspace") for c in chatters))
    await asyncio.gather(*(c.hears("The command printed") for c in chatters))
    for chatter in chatters:
        [own, other] = sorted(secrets.values(), key=lambda s: s != secrets[chatter.user])
        said = "\n".join(await chatter.answers())
        assert own in said
        assert other not in said
        for request in model_server.requests(own):
            assert other not in json.dumps(request)
    volumes = {product.get(c.session)["status"]["volumeClaimName"] for c in chatters}
    assert len(volumes) == 2


async def test_what_comes_while_the_agent_falls_asleep_is_answered(
    product: Product, ada: Chatter
) -> None:
    await ada.write("m0.")
    await ada.hears("m0.")
    product.patch(ada.session, idlePolicy={"suspendAfterSeconds": 1})
    # Before its time is over, as it is, and while the run leaves.
    for number, pause in enumerate((0.7, 0.9, 1.0, 1.1, 1.3, 1.6, 2.0), 1):
        await asyncio.sleep(pause)
        await ada.write(f"m{number}.")
        await ada.hears(f"m{number}.")
    assert len(await ada.answers()) == 8
    print(f"{product.get(ada.session)['status']['runs']} runs")


async def test_a_stranger_is_let_in_by_nobody(world: Telegram, product: Product) -> None:
    eve = await joined(product, world, EVE, "Eve")
    await eve.write("hello")

    async def turned_away() -> bool:
        return bool(await eve.answers())

    await until(turned_away, "the bot says something to Eve", SECONDS)
    listed = product.kubectl("get", "agentsessions", "-o", "name")
    assert f"telegram-{EVE}" not in listed


async def test_a_bridge_that_dies_and_is_rolled_out_answers_everything_once_and_in_order(
    product: Product, chatters: tuple[Chatter, Chatter]
) -> None:
    require_local_node()
    count, kills = 12, 0
    deployment = f"deployment/{product.names.release}-bridge"
    for number in range(count):
        await asyncio.gather(*(c.write(f"m{number}.") for c in chatters))
        await asyncio.sleep(0.2)
        if number in (2, 6):
            uid = product.part("bridge")[0].metadata.uid
            # The one before may not be back yet: the kubelet takes its time.
            await until(partial(kill, uid, "agentsession-bridge"), "the bridge is killed", SECONDS)
            kills += 1
        if number == 9:
            product.kubectl("rollout", "restart", deployment, namespace=product.names.namespace)
    assert kills == 2
    for chatter in chatters:
        await chatter.hears(f"m{count - 1}.")
        texts = await chatter.answers()
        assert numbered(texts) == [f"m{number}." for number in range(count)]
        # What was on its way when it died is sent again: nobody can know whether it arrived.
        assert sent_twice(texts) <= kills + 1, texts
    product.kubectl(
        "rollout", "status", deployment, "--timeout=60s", namespace=product.names.namespace
    )
