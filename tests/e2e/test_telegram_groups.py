"""Groups and their topics, in pods: whom the bot hears, what grows in its message, what a Stop ends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentsession_bridge.pace import BURST, GROUP_SECONDS
from agentsession_bridge.places import Place
from agentsession_dev.telegram_server.service import BOT_USERNAME
from agentsession_testing.chatters import HANG, Chatter, at, in_its_tool, telegram_of
from agentsession_testing.cluster import ModelServer, Product
from agentsession_testing.telegram import Telegram

# Whom and where `make test` lets in.
ADA = 71
FORUM, TEAM = -1001234567890, -1001234567891
TOPICS = (5, 6)
STORY = " ".join(f"word{number}" for number in range(40))
SLOWLY = {
    "name": "slowly",
    "match": {"text": "(?i)^\\s*tell a story"},
    "steps": [{"say": STORY, "delay_per_chunk_seconds": 0.4}],
}


def to_bot(text: str) -> str:
    return f"@{BOT_USERNAME} {text}"


@pytest.fixture
async def world(product: Product) -> AsyncIterator[Telegram]:
    async with telegram_of(product) as found:
        await found.join(ADA, "Ada")
        await found.post("groups", id=FORUM, title="Forum", topics=TOPICS)
        await found.post("groups", id=TEAM, title="Team")
        yield found


@pytest.fixture
async def topics(product: Product, world: Telegram) -> list[Chatter]:
    return [await at(product, world, ADA, Place(FORUM, topic)) for topic in TOPICS]


async def test_stop_in_a_topic_ends_its_tool_call_and_no_other_topics(
    product: Product, topics: list[Chatter], model_server: ModelServer
) -> None:
    before = len(model_server.requests(HANG))
    for topic in topics:
        await topic.write(to_bot(HANG))
    await in_its_tool(model_server, HANG, before + len(topics))
    first, second = topics
    await stopped(first)
    product.wait_phase(second.session, "Working")
    assert not [text for text in await second.answers() if "Stopped." in text]
    await stopped(second)
    # Stopped is the turn alone: its run and its conversation go on.
    await first.write(to_bot("hello"))
    await first.hears("This is message 2 of our conversation")
    for topic in topics:
        made = product.get(topic.session)
        assert made["spec"]["user"]["id"] == f"g{-FORUM}"
        assert made["spec"]["mailbox"] == topic.place.mailbox
        assert made["status"]["runs"] == 1


async def stopped(topic: Chatter) -> None:
    began = time.monotonic()
    await topic.write("/stop")
    await topic.hears("Stopped.")
    print(f"stopped in {topic.place.mailbox} after {time.monotonic() - began:.2f} s")


async def test_in_a_group_a_mention_counts_and_the_answer_grows_in_one_message(
    product: Product, world: Telegram, model_server: ModelServer
) -> None:
    team = await at(product, world, ADA, Place(TEAM))
    last = (await world.get("journal", kind="webhook"))["last"]
    await team.write("tell a story, somebody")
    with model_server.with_rule(SLOWLY):
        theirs = await team.write(to_bot("tell a story"))
        await team.hears(STORY)
    [message] = await team.messages()
    assert message["text"] == STORY
    assert message["reply_to_message"]["message_id"] == theirs
    calls = await sent_to(world, TEAM, last)
    assert {call["data"]["status"] for call in calls} == {200}
    seconds = calls[-1]["at"] - calls[0]["at"]
    assert len(calls) <= BURST + 1 + seconds / GROUP_SECONDS
    shown = [call["data"]["parameters"].get("text", "") for call in calls]
    # Beginnings of the story stood there before all of it did.
    grown = {text for text in shown if text and text != STORY and STORY.startswith(text)}
    assert len(grown) >= 2, shown
    print(f"{len(calls)} calls in {seconds:.1f} s, {len(grown)} beginnings")


async def sent_to(world: Telegram, chat: int, after: int) -> list[dict[str, Any]]:
    """The bot's messages and edits, as it made them."""
    journal = await world.get("journal", kind="call", chat_id=chat, after=after)
    paced = ("sendMessage", "editMessageText")
    return [entry for entry in journal["entries"] if entry["data"]["method"] in paced]
