"""What chats see while a turn runs: drafts, a growing message in groups, buttons."""

from __future__ import annotations

import signal
from typing import Any

from redis.asyncio import Redis

from agentsession_core.api import TurnOutcome
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.contract import DecisionEntry, Source
from agentsession_core.mailbox.notices import approval_notice, end_notice
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.bridge_process import BridgeProcess
from agentsession_testing.bridge_world import ADA, BOB, GROUP, Agent, has_texts, said, seen
from agentsession_testing.serving import until
from agentsession_testing.telegram import Telegram
from agentsession_testing.valkey import entries

MAILBOX = f"g{-GROUP}"


async def draft_says(world: Telegram, text: str) -> dict[str, Any]:
    """Wait for a draft in Ada's chat with these words."""

    async def look() -> dict[str, Any] | None:
        draft: dict[str, Any] | None = (await world.get(f"chats/{ADA}"))["draft"]
        return draft if draft is not None and text in draft["text"] else None

    return await seen(world, ADA, look, f"a draft says {text!r}")


async def bot_messages(world: Telegram, chat: int) -> list[dict[str, Any]]:
    return [message for message in await world.messages(chat) if message["from"]["is_bot"]]


async def begin(world: Telegram, agent: Agent, redis: Redis) -> str:
    """A turn of Ada's begins; returns its id."""
    await world.write(ADA, "hello")
    await until(lambda: has_texts(redis, ADA, ["hello"]), "the message is in")
    turn, _ = await agent.turn(str(ADA))
    return turn


async def test_a_private_chat_sees_the_answer_grow_as_drafts_and_then_once(
    world: Telegram, bridge: BridgeProcess, agent: Agent, redis_client: Redis
) -> None:
    await world.write(ADA, "hello")
    waking = await draft_says(world, "Waking your agent")
    await until(lambda: has_texts(redis_client, ADA, ["hello"]), "the message is in")
    turn, _ = await agent.turn(str(ADA))
    await agent.say(str(ADA), turn, ("tool", {"name": "Bash", "summary": "ls\n-la"}))
    shown = await draft_says(world, "🔧 Bash ls -la")
    assert shown["draft_id"] == waking["draft_id"]
    assert shown["can_stop"]
    await agent.say(str(ADA), turn, ("delta", {"text": "It is **so"}))
    await agent.say(str(ADA), turn, ("delta", {"text": "** <small>"}))
    await draft_says(world, "It is so <small>")
    # A bridge that starts in the middle shows all of it again.
    await bridge.kill(signal.SIGKILL)
    await bridge.start()
    await agent.say(str(ADA), turn, ("delta", {"text": ", and more"}))
    await draft_says(world, "It is so <small>, and more")
    await agent.commit(str(ADA), turn, "The answer")
    await said(world, ADA, "The answer")
    assert [message["text"] for message in await bot_messages(world, ADA)] == ["The answer"]
    assert (await world.get(f"chats/{ADA}"))["draft"] is None


async def test_stop_at_a_draft_stops_the_turn(
    world: Telegram, bridge: BridgeProcess, agent: Agent, redis_client: Redis
) -> None:
    turn = await begin(world, agent, redis_client)
    await draft_says(world, "Thinking")
    await world.post(f"people/{ADA}/stop")
    await draft_says(world, "Stopping")
    ((_, wish),) = await entries(redis_client, f"user:{ADA}:control")
    assert wish["turn"] == turn


async def test_a_group_sees_one_message_grow_and_its_stop_button_works_once(
    world: Telegram, bridge: BridgeProcess, agent: Agent, redis_client: Redis
) -> None:
    await world.post("groups", id=GROUP, title="Team")
    theirs = await world.write(ADA, "@agent_demo_bot hi", chat_id=GROUP)
    placeholder = await said(world, GROUP, "Waking")
    assert placeholder["reply_to_message"]["message_id"] == theirs["message_id"]
    turn, _ = await agent.turn(MAILBOX)
    await agent.say(MAILBOX, turn, ("delta", {"text": "Half an ans"}))
    grown = await said(world, GROUP, "Half an ans")
    assert grown["message_id"] == placeholder["message_id"]
    ((button,),) = grown["reply_markup"]["inline_keyboard"]
    assert button == {"text": "Stop", "callback_data": f"stop:{turn}"}
    path = f"chats/{GROUP}/messages/{grown['message_id']}/press"
    # Eve is on no list: what she presses does nothing.
    await world.post(path, user_id=73, data=button["callback_data"])
    refusal = await world.wait("callback_answer", chat_id=GROUP)
    assert "does not know you" in refusal["data"]["text"]
    assert await entries(redis_client, f"user:{MAILBOX}:control") == []
    await world.post(path, user_id=BOB, data=button["callback_data"])
    obeyed = await world.wait("callback_answer", chat_id=GROUP, after=refusal["sequence"])
    assert obeyed["data"]["text"] == "Stopping…"
    assert "reply_markup" not in await said(world, GROUP, "Stopping")
    # A bridge that dies now still puts the answer in the place of what it announced.
    await bridge.kill(signal.SIGKILL)
    await bridge.start()
    await agent.commit(MAILBOX, turn, "Half an answer", TurnOutcome.CANCELLED)
    await said(world, GROUP, "Stopped.")
    [answer] = await bot_messages(world, GROUP)
    assert answer["text"] == "Half an answer\n\nStopped."
    assert answer["message_id"] == placeholder["message_id"]


async def test_words_in_the_middle_stand_before_the_answer(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    await world.post("groups", id=GROUP, title="Team")
    await world.write(ADA, "@agent_demo_bot hi", chat_id=GROUP)
    placeholder = await said(world, GROUP, "Waking")
    turn, _ = await agent.turn(MAILBOX)
    await agent.say(MAILBOX, turn, ("delta", {"text": "I look"}))
    await said(world, GROUP, "I look")
    await agent.respond(MAILBOX, "It takes a while.")
    words = await said(world, GROUP, "It takes a while.")
    # In the place of what was announced; what comes now is announced below it.
    assert words["message_id"] == placeholder["message_id"]
    assert "reply_markup" not in words
    await agent.say(MAILBOX, turn, ("delta", {"text": " at it"}))
    below = await said(world, GROUP, "I look at it")
    assert below["message_id"] > words["message_id"]
    await agent.respond(MAILBOX, "Nearly there.")
    await agent.commit(MAILBOX, turn, "Done")
    await said(world, GROUP, "Done")
    texts = [message["text"] for message in await bot_messages(world, GROUP)]
    assert texts == ["It takes a while.", "Nearly there.", "Done"]


async def test_words_in_the_middle_leave_a_private_preview_alive(
    world: Telegram, bridge: BridgeProcess, agent: Agent, redis_client: Redis
) -> None:
    turn = await begin(world, agent, redis_client)
    await draft_says(world, "Thinking")
    await agent.respond(str(ADA), "It takes a while.")
    await said(world, ADA, "It takes a while.")
    await agent.say(str(ADA), turn, ("delta", {"text": "Half"}))
    await draft_says(world, "Half")
    await agent.commit(str(ADA), turn, "Done")
    await said(world, ADA, "Done")
    texts = [message["text"] for message in await bot_messages(world, ADA)]
    assert texts == ["It takes a while.", "Done"]


async def test_the_next_answer_does_not_take_the_place_of_the_one_before(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    await world.post("groups", id=GROUP, title="Team")
    for number in (1, 2):
        await world.write(ADA, f"@agent_demo_bot hi {number}", chat_id=GROUP)
        await agent.answer(MAILBOX, f"Answer {number}")
        await said(world, GROUP, f"Answer {number}")
    texts = [message["text"] for message in await bot_messages(world, GROUP)]
    assert texts == ["Answer 1", "Answer 2"]


async def test_the_notice_of_its_end_has_a_button_that_keeps_it(
    world: Telegram, bridge: BridgeProcess, agent: Agent, redis_client: Redis
) -> None:
    await world.write(ADA, "hello")
    await agent.answer(str(ADA), "Hi")
    store, end = MailboxStore(redis_client), 4_000_000_000
    await store.notice(
        str(ADA),
        notice=end_notice("uid", end),
        text="All of it will be deleted.",
        source=Source.TELEGRAM,
        chat=str(ADA),
    )
    await store.note_warning(str(ADA), session_uid="uid", end=end)
    notice = await said(world, ADA, "will be deleted")
    ((button,),) = notice["reply_markup"]["inline_keyboard"]
    path = f"chats/{ADA}/messages/{notice['message_id']}/press"
    await world.post(path, user_id=ADA, data=button["callback_data"])
    answer = await world.wait("callback_answer", chat_id=ADA)
    assert "Kept" in answer["data"]["text"]
    assert await redis_client.hexists(f"user:{ADA}:mailbox", "kept_at")
    await world.wait("edit", chat_id=ADA)
    assert "reply_markup" not in await said(world, ADA, "will be deleted")


async def test_a_question_of_the_agent_is_answered_by_buttons(
    world: Telegram, bridge: BridgeProcess, agent: Agent, redis_client: Redis
) -> None:
    await world.write(ADA, "hello")
    await agent.answer(str(ADA), "Hi")
    await MailboxStore(redis_client).notice(
        str(ADA),
        notice=approval_notice("0123456789ab"),
        text="May it delete all?",
        source=Source.TELEGRAM,
        chat=str(ADA),
    )
    question = await said(world, ADA, "May it")
    (buttons,) = question["reply_markup"]["inline_keyboard"]
    assert [button["text"] for button in buttons] == ["Agree", "Refuse"]
    path = f"chats/{ADA}/messages/{question['message_id']}/press"
    await world.post(path, user_id=ADA, data=buttons[0]["callback_data"])
    answer = await world.wait("callback_answer", chat_id=ADA)
    assert "Passed on" in answer["data"]["text"]
    ((_, decision),) = await entries(redis_client, keys.DECISIONS)
    DecisionEntry.model_validate(decision)
    assert decision == {
        "approval": "0123456789ab",
        "decision": "approve",
        "user": str(ADA),
        "mailbox": str(ADA),
        "by": f"telegram:{ADA}",
    }
    await world.wait("edit", chat_id=ADA)
    assert "reply_markup" not in await said(world, ADA, "May it")


async def test_in_a_group_it_is_the_groups_word(
    world: Telegram, bridge: BridgeProcess, agent: Agent, redis_client: Redis
) -> None:
    await world.post("groups", id=GROUP, title="Team")
    await world.write(ADA, "@agent_demo_bot hi", chat_id=GROUP)
    await agent.answer(MAILBOX, "Hi")
    await MailboxStore(redis_client).notice(
        MAILBOX,
        notice=approval_notice("0123456789ab"),
        text="May it delete all?",
        source=Source.TELEGRAM,
        chat=str(GROUP),
    )
    question = await said(world, GROUP, "May it")
    path = f"chats/{GROUP}/messages/{question['message_id']}/press"
    # Eve is on no list.
    await world.post(path, user_id=73, data="agree:0123456789ab")
    refusal = await world.wait("callback_answer", chat_id=GROUP)
    assert "does not know you" in refusal["data"]["text"]
    await world.post(path, user_id=BOB, data="refuse:0123456789ab")
    await world.wait("callback_answer", chat_id=GROUP, after=refusal["sequence"])
    ((_, decision),) = await entries(redis_client, keys.DECISIONS)
    assert (decision["user"], decision["mailbox"]) == (f"g{-GROUP}", "")
    assert (decision["decision"], decision["by"]) == ("deny", f"telegram:{BOB}")
