"""Unmodified python-telegram-bot against the stand-in: what a bot may count on at Telegram."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import telegram
from telegram import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    ReactionTypeEmoji,
    ReplyParameters,
)
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
)

from agentsession_testing.telegram import Telegram, bot_for, telegram_stand_in

ADA = 7
GROUP = -1001234567890


@pytest.fixture
async def world() -> AsyncIterator[Telegram]:
    async with telegram_stand_in() as found:
        await found.join(ADA)
        yield found


@pytest.fixture
async def bot(world: Telegram) -> AsyncIterator[telegram.Bot]:
    async with bot_for(world.url) as found:
        yield found


async def test_updates_come_again_until_an_offset_confirms_them(
    world: Telegram, bot: telegram.Bot
) -> None:
    for text in ("one", "two", "three"):
        await world.write(ADA, text)
    first = await bot.get_updates(limit=2)
    assert [update.message.text for update in first if update.message] == ["one", "two"]
    assert [u.update_id for u in await bot.get_updates(limit=2)] == [u.update_id for u in first]
    rest = await bot.get_updates(offset=first[-1].update_id + 1)
    assert [update.message.text for update in rest if update.message] == ["three"]
    assert await bot.get_updates(offset=rest[-1].update_id + 1) == ()


async def test_a_long_poll_ends_with_the_message(world: Telegram, bot: telegram.Bot) -> None:
    polling = asyncio.create_task(bot.get_updates(timeout=20))
    await world.wait("call", method="getMe")
    await world.write(ADA, "hello")
    (update,) = await asyncio.wait_for(polling, 10)
    assert update.message is not None
    assert update.message.from_user is not None
    assert (update.message.text, update.message.from_user.id) == ("hello", ADA)


async def test_the_newest_poller_wins(world: Telegram, bot: telegram.Bot) -> None:
    older = asyncio.create_task(bot.get_updates(timeout=20))
    async with bot_for(world.url) as other:
        newer = asyncio.create_task(other.get_updates(timeout=20))
        with pytest.raises(Conflict, match="terminated by other getUpdates request"):
            await asyncio.wait_for(older, 10)
        await world.write(ADA, "hello")
        assert len(await asyncio.wait_for(newer, 10)) == 1


async def test_a_webhook_and_a_poller_exclude_each_other(
    world: Telegram, bot: telegram.Bot
) -> None:
    await bot.set_webhook("http://127.0.0.1:9/nobody")
    with pytest.raises(Conflict, match="webhook is active"):
        await bot.get_updates()
    await bot.delete_webhook()
    assert await bot.get_updates() == ()


async def test_some_kinds_of_update_have_to_be_asked_for(
    world: Telegram, bot: telegram.Bot
) -> None:
    reaction = {"chat": {"id": ADA, "type": "private"}, "message_id": 1, "date": 0}
    payload = {**reaction, "old_reaction": [], "new_reaction": []}
    assert await world.post("updates", kind="message_reaction", payload=payload) == {
        "update_id": None
    }
    await bot.get_updates(allowed_updates=["message_reaction"])
    await world.post("updates", kind="message_reaction", payload=payload)
    await world.write(ADA, "not wanted")
    (update,) = await bot.get_updates()
    assert update.message_reaction is not None


async def test_html_is_read_and_wrong_html_refused(bot: telegram.Bot) -> None:
    sent = await bot.send_message(ADA, "<b>bold</b> &lt;", parse_mode="HTML")
    assert sent.text == "bold <"
    assert [entity.type for entity in sent.entities] == ["bold"]
    with pytest.raises(BadRequest, match=r"[Cc]an't parse entities"):
        await bot.send_message(ADA, "<b>bold", parse_mode="HTML")


@pytest.mark.parametrize("text", ["x" * 4096, f"<b>{'x' * 4096}</b>", "😀" * 2048])
async def test_4096_units_are_counted_after_the_markup_is_gone(
    bot: telegram.Bot, text: str
) -> None:
    await bot.send_message(ADA, text, parse_mode="HTML")
    with pytest.raises(BadRequest, match=r"[Mm]essage is too long"):
        await bot.send_message(ADA, text + "x", parse_mode="HTML")


async def test_an_empty_text_is_refused(bot: telegram.Bot) -> None:
    with pytest.raises(BadRequest, match=r"[Mm]essage text is empty"):
        await bot.send_message(ADA, "<b> </b>", parse_mode="HTML")


async def test_edits(world: Telegram, bot: telegram.Bot) -> None:
    sent = await bot.send_message(ADA, "one")
    await bot.edit_message_text("two", ADA, sent.message_id)
    with pytest.raises(BadRequest, match=r"[Mm]essage is not modified"):
        await bot.edit_message_text("two", ADA, sent.message_id)
    with pytest.raises(BadRequest, match=r"[Mm]essage to edit not found"):
        await bot.edit_message_text("two", ADA, 999_999)
    theirs = await world.write(ADA, "mine")
    with pytest.raises(BadRequest, match=r"[Mm]essage can't be edited"):
        await bot.edit_message_text("yours", ADA, theirs["message_id"])
    await bot.delete_message(ADA, sent.message_id)
    assert [message["text"] for message in await world.messages(ADA)] == ["mine"]


async def test_chats_that_cannot_be_written_to(world: Telegram, bot: telegram.Bot) -> None:
    with pytest.raises(BadRequest, match=r"[Cc]hat not found"):
        await bot.send_message(8, "hello")
    await world.post(f"people/{ADA}/block")
    with pytest.raises(Forbidden, match="blocked by the user"):
        await bot.send_message(ADA, "hello")
    await world.post(f"people/{ADA}/unblock")
    await bot.send_message(ADA, "hello")
    await world.post("groups", id=-55, type="group", title="Old")
    await world.post(f"groups/-55/migrate/{GROUP}")
    with pytest.raises(ChatMigrated) as moved:
        await bot.send_message(-55, "hello")
    assert moved.value.new_chat_id == GROUP
    await bot.send_message(GROUP, "hello")


async def test_topics_and_replies(world: Telegram, bot: telegram.Bot) -> None:
    await world.post("groups", id=GROUP, title="Forum", topics=[5])
    theirs = await world.write(ADA, "@agent_demo_bot hi", chat_id=GROUP, message_thread_id=5)
    (update,) = await bot.get_updates()
    assert update.message is not None
    assert update.message.is_topic_message
    assert list(update.message.parse_entities(["mention"]).values()) == ["@agent_demo_bot"]
    reply = ReplyParameters(theirs["message_id"])
    sent = await bot.send_message(GROUP, "yes", message_thread_id=5, reply_parameters=reply)
    assert sent.reply_to_message is not None
    assert sent.reply_to_message.message_id == theirs["message_id"]
    with pytest.raises(BadRequest, match=r"[Mm]essage thread not found"):
        await bot.send_message(GROUP, "yes", message_thread_id=6)
    with pytest.raises(BadRequest, match=r"[Mm]essage to be replied not found"):
        await bot.send_message(GROUP, "yes", reply_parameters=ReplyParameters(999_999))


async def test_a_button_works_once(world: Telegram, bot: telegram.Bot) -> None:
    keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Stop", callback_data="stop:1")]])
    sent = await bot.send_message(ADA, "working", reply_markup=keyboard)
    await world.post(f"chats/{ADA}/messages/{sent.message_id}/press", user_id=ADA, data="stop:1")
    (update,) = await bot.get_updates()
    assert update.callback_query is not None
    assert update.callback_query.data == "stop:1"
    await bot.answer_callback_query(update.callback_query.id, "Stopping")
    with pytest.raises(BadRequest, match=r"[Qq]uery is too old"):
        await bot.answer_callback_query(update.callback_query.id)
    long = InlineKeyboardMarkup([[InlineKeyboardButton("Long", callback_data="x" * 65)]])
    with pytest.raises(BadRequest, match="Button_data_invalid"):
        await bot.send_message(ADA, "working", reply_markup=long)


async def test_drafts_are_for_private_chats_and_can_be_stopped(
    world: Telegram, bot: telegram.Bot
) -> None:
    await bot.send_message_draft(ADA, 1, "Thin", api_kwargs={"can_stop": True})
    await bot.send_message_draft(ADA, 1, "Thinking", api_kwargs={"can_stop": True})
    assert (await world.get(f"chats/{ADA}"))["draft"]["text"] == "Thinking"
    await world.post(f"people/{ADA}/stop")
    (update,) = await bot.get_updates()
    assert update.api_kwargs["stopped_message_generation"]["draft_id"] == 1
    await bot.send_message(ADA, "Done")
    assert (await world.get(f"chats/{ADA}"))["draft"] is None
    await world.post("groups", id=GROUP, title="Group")
    with pytest.raises(BadRequest, match="private chats only"):
        await bot.send_message_draft(GROUP, 1, "Thin")


async def test_files_in_and_out(world: Telegram, bot: telegram.Bot) -> None:
    sent = await bot.send_document(
        ADA, b"\x00\x01report", filename="report.bin", caption="<i>it</i>", parse_mode="HTML"
    )
    assert sent.document is not None
    assert (sent.document.file_name, sent.document.file_size, sent.caption) == (
        "report.bin",
        8,
        "it",
    )
    form = {"user_id": str(ADA), "caption": "look", "media": "voice"}
    answer = await world.http.post(
        "/_control/files", data=form, files={"file": ("v.ogg", b"sound")}
    )
    assert answer.status_code == 200
    (update,) = await bot.get_updates()
    assert update.message is not None
    assert update.message.voice is not None
    file = await bot.get_file(update.message.voice.file_id)
    assert bytes(await file.download_as_bytearray()) == b"sound"
    with pytest.raises(BadRequest, match=r"[Ww]rong file_id"):
        await bot.get_file("no-such-file")


async def test_a_photo_is_a_picture_of_at_most_10_megabytes(bot: telegram.Bot) -> None:
    png = b"\x89PNG\r\n\x1a\n"
    sent = await bot.send_photo(ADA, png + b"...")
    assert len(sent.photo) == 1
    for content, reason in (
        (b"text", "Image_process_failed"),
        (png + bytes(10_000_000), "too big"),
    ):
        with pytest.raises(BadRequest, match=reason):
            await bot.send_photo(ADA, content)


async def test_a_file_over_20_megabytes_cannot_be_downloaded(
    world: Telegram, bot: telegram.Bot
) -> None:
    content = bytes(20_000_001)
    form = {"user_id": str(ADA)}
    answer = await world.http.post("/_control/files", data=form, files={"file": ("big", content)})
    with pytest.raises(BadRequest, match=r"[Ff]ile is too big"):
        await bot.get_file(answer.json()["document"]["file_id"])


async def test_reactions_actions_and_commands(world: Telegram, bot: telegram.Bot) -> None:
    theirs = await world.write(ADA, "hello")
    await bot.set_message_reaction(ADA, theirs["message_id"], "👀")
    with pytest.raises(BadRequest, match="Reaction_invalid"):
        await bot.set_message_reaction(ADA, theirs["message_id"], ReactionTypeEmoji("🧀"))
    await bot.send_chat_action(ADA, "typing")
    assert (await world.wait("action", chat_id=ADA))["data"]["action"] == "typing"
    await bot.set_my_commands([("new", "Start anew")])
    assert [command.command for command in await bot.get_my_commands()] == ["new"]
    with pytest.raises(BadRequest, match=r"ommands\.0"):
        await bot.set_my_commands([("Not-Valid", "x")])


async def test_an_answer_lost_after_the_message_was_sent(
    world: Telegram, bot: telegram.Bot
) -> None:
    await world.post("faults", kind="lost", method="sendMessage")
    with pytest.raises(NetworkError):
        await bot.send_message(ADA, "hello")
    assert [message["text"] for message in await world.messages(ADA)] == ["hello"]
    await world.post("faults", kind="reset", method="sendMessage")
    with pytest.raises(NetworkError):
        await bot.send_message(ADA, "again")
    assert len(await world.messages(ADA)) == 1


async def test_a_punished_chat_leaves_the_others_alone(world: Telegram, bot: telegram.Bot) -> None:
    await world.join(8, "Bob")
    await world.post("faults", kind="flood", chat_id=ADA, seconds=120)
    with pytest.raises(RetryAfter) as wait:
        await bot.send_message(ADA, "hello")
    assert isinstance(wait.value.retry_after, timedelta)
    assert wait.value.retry_after.total_seconds() > 100
    await bot.send_message(8, "hello")


async def test_misspelt_parameters_and_methods_are_refused(bot: telegram.Bot) -> None:
    with pytest.raises(BadRequest, match="arse_mod: "):
        await bot.send_message(ADA, "x", api_kwargs={"parse_mod": "HTML"})
    with pytest.raises(telegram.error.EndPointNotFound, match="sendNothing"):
        await bot.do_api_request("sendNothing")


async def test_a_wrong_token_is_refused(world: Telegram) -> None:
    with pytest.raises(InvalidToken):
        async with bot_for(world.url, "4200:another-token"):
            pass
