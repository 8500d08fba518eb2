"""The bridge as a process: Telegram's stand-in, a real Valkey, a real API server."""

from __future__ import annotations

import asyncio
import random
import signal

from redis.asyncio import Redis

from agentsession_core.api import TurnOutcome
from agentsession_testing.api_server import ApiServer
from agentsession_testing.bridge_process import NAMESPACE, BridgeProcess
from agentsession_testing.bridge_world import (
    ADA,
    BOB,
    EVE,
    GROUP,
    Agent,
    all_confirmed,
    has_texts,
    is_empty,
    said,
    sessions,
)
from agentsession_testing.serving import until
from agentsession_testing.telegram import Telegram
from agentsession_testing.valkey import entries


async def test_a_first_message_makes_a_session_and_its_answer_arrives(
    world: Telegram,
    bridge: BridgeProcess,
    bridge_api_server: ApiServer,
    agent: Agent,
    redis_client: Redis,
) -> None:
    theirs = await world.write(ADA, "hello")
    reaction = await world.wait("reaction", chat_id=ADA)
    assert reaction["data"] == {"message_id": theirs["message_id"], "emoji": ["👀"]}
    await world.wait("action", chat_id=ADA)
    await until(lambda: len(sessions(bridge_api_server)) == 1, "the session is made", 20)
    (made,) = sessions(bridge_api_server)
    assert made["metadata"]["name"] == f"telegram-{ADA}"
    assert made["metadata"]["labels"] == {
        "agentsession.dev/user": str(ADA),
        "agentsession.dev/route": "cli-agent",
    }
    assert made["spec"] == {
        "mailbox": str(ADA),
        "operatingMode": "Running",
        "user": {"id": str(ADA), "displayName": "Ada"},
    }
    assert await agent.answer(str(ADA), "**Hi** <there>") == ["hello"]
    answer = await said(world, ADA, "Hi <there>")
    assert [entity["type"] for entity in answer["entities"]] == ["bold"]
    gone = await world.wait("reaction", chat_id=ADA, after=reaction["sequence"])
    assert gone["data"]["emoji"] == []
    assert await entries(redis_client, f"user:{ADA}:outgoing") == []
    await until(
        lambda: is_empty(redis_client, "outgoing:ready"), "no pointer to what is delivered is left"
    )


async def test_the_session_that_holds_the_mailbox_is_woken_whatever_its_name(
    world: Telegram, bridge: BridgeProcess, bridge_api_server: ApiServer
) -> None:
    bridge_api_server.apply(
        {
            "apiVersion": "agentsession.dev/v1alpha1",
            "kind": "AgentSession",
            "metadata": {"name": "by-hand", "namespace": NAMESPACE},
            "spec": {"user": {"id": str(ADA)}, "prompt": "from Git"},
        }
    )
    theirs = await world.write(ADA, "hello")

    def told() -> bool:
        return bool(sessions(bridge_api_server)[0]["spec"].get("inbox"))

    await until(told, "the session's inbox names the message", 20)
    (session,) = sessions(bridge_api_server)
    assert session["spec"]["inbox"]["lastMessageID"] == f"{ADA}.{theirs['message_id']}"
    assert session["spec"]["prompt"] == "from Git"
    owned = [
        entry["fieldsV1"]["f:spec"]
        for entry in session["metadata"]["managedFields"]
        if entry["manager"] == "agentsession-bridge"
    ]
    assert owned == [
        {
            "f:inbox": {"f:lastMessageID": {}, "f:lastMessageTime": {}},
            "f:user": {"f:id": {}},
        }
    ]


async def test_who_is_not_on_the_list_gets_nothing_but_their_id(
    world: Telegram, bridge: BridgeProcess, redis_client: Redis
) -> None:
    await bridge.kill()
    bridge.settings = {"pairing": {"enabled": False}}
    await bridge.start()
    await world.write(EVE, "hello")
    assert str(EVE) in (await said(world, EVE, "not on this bot's list"))["text"]
    await world.write(EVE, "again")
    # The list is looked at when an update comes in: this one still meets the old list.
    await until(lambda: all_confirmed(world), "the bridge has taken every update in")
    bridge.allow(ADA, EVE)
    await world.write(EVE, "now")
    await until(
        lambda: has_texts(redis_client, EVE, ["now"]),
        "the changed list is in force without a restart",
    )
    assert len([m for m in await world.messages(EVE) if m["from"]["is_bot"]]) == 1


async def test_in_a_group_it_listens_only_to_those_who_mean_it(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    await world.post("groups", id=GROUP, title="Team", topics=[5])
    await world.write(ADA, "not for the bot", chat_id=GROUP, message_thread_id=5)
    await world.write(EVE, "@agent_demo_bot nor from Eve", chat_id=GROUP, message_thread_id=5)
    theirs = await world.write(ADA, "@agent_demo_bot hi", chat_id=GROUP, message_thread_id=5)
    assert await agent.answer(f"g{-GROUP}.t5", "Hello, team") == ["hi"]
    answer = await said(world, GROUP, "Hello, team")
    assert answer["message_thread_id"] == 5
    assert answer["reply_to_message"]["message_id"] == theirs["message_id"]


async def test_stop_and_new(
    world: Telegram, bridge: BridgeProcess, agent: Agent, redis_client: Redis
) -> None:
    await world.write(ADA, "/stop")
    await said(world, ADA, "Nothing is running")
    await world.write(ADA, "work")
    await until(lambda: has_texts(redis_client, ADA, ["work"]), "the message is in")
    turn, _ = await agent.turn(str(ADA))
    await world.write(ADA, "/stop")
    await said(world, ADA, "Stopping")
    (control,) = await entries(redis_client, f"user:{ADA}:control")
    assert control[1]["turn"] == turn
    await agent.commit(str(ADA), turn, "", TurnOutcome.CANCELLED)
    await said(world, ADA, "Stopped.")
    await world.write(ADA, "/new begin again")
    await said(world, ADA, "A new conversation begins")
    ((_, fields),) = await entries(redis_client, f"user:{ADA}:incoming")
    assert (fields["text"], fields["conversation"]) == ("begin again", "2")


async def test_a_very_long_answer_comes_as_a_document(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    await world.write(ADA, "write a lot")
    await agent.answer(str(ADA), "word " * 5000)
    sent = await world.wait("call", chat_id=ADA, method="sendDocument")
    assert sent["data"]["status"] == 200


async def test_markup_that_telegram_refuses_is_sent_as_plain_text(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    await world.post(
        "faults", kind="error", method="sendMessage", code=400, reason="can't parse entities: no"
    )
    await world.write(ADA, "hello")
    await agent.answer(str(ADA), "**bold**")
    assert "entities" not in await said(world, ADA, "bold")


async def test_an_answer_that_telegram_does_not_take_comes_as_a_file_and_holds_nothing_up(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    await world.post(
        "faults", kind="error", method="sendMessage", code=400, reason="something new is wrong"
    )
    await world.write(ADA, "hello")
    await agent.answer(str(ADA), "an odd answer")
    sent = await world.wait("call", chat_id=ADA, method="sendDocument")
    assert sent["data"]["status"] == 200
    await world.write(ADA, "go on")
    await agent.answer(str(ADA), "the next one")
    await said(world, ADA, "the next one")


async def test_a_punished_chat_gets_its_answer_late_and_the_other_at_once(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    await world.post("faults", kind="flood", method="sendMessage", chat_id=ADA, seconds=3)
    for user in (ADA, BOB):
        await world.write(user, "hello")
    await agent.answer(str(ADA), "for Ada")
    await world.wait("call", chat_id=ADA, method="sendMessage")
    await agent.answer(str(BOB), "for Bob")
    await said(world, BOB, "for Bob")
    assert not [m for m in await world.messages(ADA) if m.get("text") == "for Ada"]
    await said(world, ADA, "for Ada")


async def test_a_blocked_bot_ends_the_delivery_and_nothing_else(
    world: Telegram, bridge: BridgeProcess, agent: Agent, redis_client: Redis
) -> None:
    await world.write(ADA, "hello")
    await until(lambda: has_texts(redis_client, ADA, ["hello"]), "the message is in")
    await world.post(f"people/{ADA}/block")
    await agent.answer(str(ADA), "nobody reads it")
    await until(lambda: is_empty(redis_client, f"user:{ADA}:outgoing"), "the answer is given up")
    await world.write(BOB, "hello")
    await agent.answer(str(BOB), "for Bob")
    await said(world, BOB, "for Bob")


async def test_a_lost_answer_shows_one_message_twice_at_most(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    await world.post("faults", kind="lost", method="sendMessage")
    await world.write(ADA, "hello")
    await agent.answer(str(ADA), "the answer")
    await until(lambda: _times_said(world, "the answer", 2), "the answer is sent once more", 20)
    assert await bridge.metric("agentsession_bridge_sent_again_total") == 1


async def _times_said(world: Telegram, text: str, times: int) -> bool:
    found = [m for m in await world.messages(ADA) if m["from"]["is_bot"]]
    return [m["text"] for m in found] == [text] * times


async def test_every_message_is_answered_once_in_order_however_often_it_is_killed(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)  # noqa: S311 -- times of crashes, no secret
    people, count = (ADA, BOB), 15

    async def talk() -> None:
        for number in range(count):
            for person in people:
                await world.write(person, f"m{number}")
            await asyncio.sleep(chance.uniform(0.05, 0.3))

    async def serve(person: int) -> None:
        answered = 0
        while answered < count:
            texts = await agent.answer(str(person))
            answered += len(texts)

    async def crash() -> None:
        for _ in range(4):
            await asyncio.sleep(chance.uniform(0.2, 1.2))
            await bridge.kill(signal.SIGKILL)
            await bridge.start()

    await asyncio.gather(talk(), crash(), *(serve(person) for person in people))
    for person in people:
        await said(world, person, f"m{count - 1}")
        texts = [m["text"] for m in await world.messages(person) if m["from"]["is_bot"]]
        words = [word for text in dict.fromkeys(texts) for word in text.split() if word != "echo"]
        assert words == [f"m{number}" for number in range(count)], f"seed {seed}: {texts}"
        # A kill between Telegram's answer and our note of it shows as one message more.
        assert len(texts) - len(set(texts)) <= 4, f"seed {seed}: {texts}"
