"""Groups that move: an answer follows them, and ends where one move only names the next."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from agentsession_bridge.delivery import MOST_MOVES
from agentsession_testing.bridge_process import BridgeProcess
from agentsession_testing.bridge_world import ADA, BOB, GROUP, Agent, is_empty, said
from agentsession_testing.serving import until
from agentsession_testing.telegram import Telegram

MAILBOX = f"g{-GROUP}"
ONCE, TWICE = GROUP - 1, GROUP - 2


@pytest.fixture
async def asked(world: Telegram, bridge: BridgeProcess) -> None:
    """Ada has asked something in the group, and sees that her agent wakes."""
    bridge.allow(ADA, BOB, groups=(GROUP, ONCE))
    await world.post("groups", id=GROUP, title="Team")
    await world.write(BOB, "not for the bot", chat_id=GROUP)
    await world.write(ADA, "@agent_demo_bot hello", chat_id=GROUP)
    await said(world, GROUP, "Waking")


async def test_an_answer_follows_a_group_that_moves_twice(
    world: Telegram, asked: None, agent: Agent, redis_client: Redis
) -> None:
    await world.post(f"groups/{GROUP}/migrate/{ONCE}")
    await world.post(f"groups/{ONCE}/migrate/{TWICE}")
    await agent.answer(MAILBOX, "for the team")
    await said(world, TWICE, "for the team")
    await until(lambda: is_empty(redis_client, f"user:{MAILBOX}:outgoing"), "it is delivered")


async def test_an_answer_is_no_part_of_what_is_said_where_the_group_is_now(
    world: Telegram, asked: None, agent: Agent
) -> None:
    before = await said(world, GROUP, "Waking")
    await world.post(f"groups/{GROUP}/migrate/{ONCE}")
    await world.write(ADA, "@agent_demo_bot and here?", chat_id=ONCE)
    # Ids begin anew: it has the one that the message of before had.
    assert (await said(world, ONCE, "Waking"))["message_id"] == before["message_id"]
    await agent.answer(MAILBOX, "the first answer")
    late = await said(world, ONCE, "the first answer")
    assert "reply_to_message" not in late
    assert late["message_id"] != before["message_id"]
    await agent.answer(f"g{-ONCE}", "the second answer")
    now = await said(world, ONCE, "the second answer")
    assert now["message_id"] == before["message_id"]


async def test_moves_that_only_name_the_next_end_the_delivery_and_nothing_else(
    world: Telegram, asked: None, bridge: BridgeProcess, agent: Agent, redis_client: Redis
) -> None:
    for number in range(MOST_MOVES + 1):
        await world.post(f"groups/{GROUP - number}/migrate/{GROUP - number - 1}")
    await agent.answer(MAILBOX, "for nobody")
    await until(lambda: is_empty(redis_client, f"user:{MAILBOX}:outgoing"), "it is given up")
    assert "nobody to deliver to" in bridge.log()
    await world.write(ADA, "hello")
    await agent.answer(str(ADA), "for Ada")
    await said(world, ADA, "for Ada")
