"""What updates mean: who is spoken to, commands, what a message is about."""

from __future__ import annotations

from typing import Any

import pytest
from telegram import Update

from agentsession_bridge.arrivals import (
    Command,
    Press,
    Stopped,
    Unreadable,
    Words,
    read_update,
)
from agentsession_bridge.places import Place

BOT = {"id": 4200, "is_bot": True, "first_name": "Agent", "username": "agent_bot"}
ADA = {"id": 71, "is_bot": False, "first_name": "Ada"}
GROUP = {"id": -1001, "type": "supergroup", "title": "Team"}
CHANNEL = {"id": -5, "type": "channel", "title": "News"}
PRIVATE = {"id": 71, "type": "private", "first_name": "Ada"}


def read(kind: str = "message", sender: dict[str, Any] = ADA, **fields: Any) -> Any:
    message = {"message_id": 5, "date": 1, "chat": PRIVATE, "from": sender, **fields}
    update = Update.de_json({"update_id": 1, kind: message}, None)
    assert update is not None
    return read_update(update, 4200, "agent_bot")


@pytest.mark.parametrize(
    ("text", "name", "argument"),
    [
        ("/new", "new", ""),
        ("/NEW  begin  again ", "new", "begin  again"),
        ("/new\nbegin", "new", "begin"),
        ("/compact keep this", "compact", "keep this"),
    ],
)
def test_commands(text: str, name: str, argument: str) -> None:
    command = read(text=text)
    assert isinstance(command, Command)
    assert (command.name, command.argument) == (name, argument)


@pytest.mark.parametrize("text", ["/usr/bin/env is missing", "/", "// comment", "see /new"])
def test_what_only_looks_like_a_command_is_words(text: str) -> None:
    words = read(text=text)
    assert isinstance(words, Words)
    assert words.text == text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("hello", None),
        ("@agent_bot hello", "hello"),
        ("hello @Agent_Bot", "hello"),
        ("hello @agent_bot2", None),
        ("mail me@agent_bot.example", "mail me.example"),
    ],
)
def test_in_a_group_a_mention_counts(text: str, meant: str | None) -> None:
    arrival = read(chat=GROUP, text=text)
    assert (arrival.text if arrival is not None else None) == meant


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/stop", "stop"),
        ("/stop@agent_bot", "stop"),
        ("/stop@other_bot", None),
        ("/weather", None),
        ("/weather@agent_bot", "weather"),
    ],
)
def test_in_a_group_others_commands_do_not(text: str, name: str | None) -> None:
    arrival = read(chat=GROUP, text=text)
    assert (arrival.name if arrival is not None else None) == name


def test_an_answer_to_the_bot_needs_no_mention_and_says_what_it_is_about() -> None:
    said = {"message_id": 4, "date": 1, "chat": GROUP, "from": BOT, "text": "one\ntwo"}
    arrival = read(chat=GROUP, text="why?", reply_to_message=said)
    assert arrival.text == "> one\n> two\n\nwhy?"
    chosen = read(
        chat=GROUP, text="why?", reply_to_message=said, quote={"text": "two", "position": 4}
    )
    assert chosen.text == "> two\n\nwhy?"
    other = {**said, "from": {**ADA, "id": 72}}
    assert read(chat=GROUP, text="why?", reply_to_message=other) is None


@pytest.mark.parametrize(
    ("origin", "head"),
    [
        ({"type": "user", "date": 1, "sender_user": ADA}, "[forwarded message from Ada]"),
        (
            {"type": "hidden_user", "date": 1, "sender_user_name": "a\n]x"},
            "[forwarded message from a ]x]",
        ),
        (
            {"type": "channel", "date": 1, "chat": CHANNEL, "message_id": 1},
            "[forwarded message from News]",
        ),
        (
            {"type": "chat", "date": 1, "sender_chat": {"id": -5, "type": "group"}},
            "[forwarded message]",
        ),
    ],
)  # fmt: skip
def test_a_forward_says_from_whom(origin: dict[str, Any], head: str) -> None:
    assert read(text="look", forward_origin=origin).text == f"{head}\nlook"


def test_topics_editions_and_what_cannot_be_read() -> None:
    topic = read(chat=GROUP, text="@agent_bot hi", is_topic_message=True, message_thread_id=9)
    assert topic.place == Place(-1001, 9)
    edition = read("edited_message", text="/new", edit_date=77)
    assert isinstance(edition, Words)
    assert (edition.key, edition.edited) == ("71.5.e77", True)
    assert isinstance(read(location={"longitude": 1, "latitude": 2}), Unreadable)
    assert read(text="hi", sender=BOT) is None


def test_buttons() -> None:
    message = {"message_id": 5, "date": 1, "chat": GROUP, "from": BOT, "text": "x"}
    press = {"id": "q", "from": ADA, "chat_instance": "1", "message": message, "data": "stop:t"}
    update = Update.de_json({"update_id": 1, "callback_query": press}, None)
    assert update is not None
    found = read_update(update, 4200, "agent_bot")
    assert isinstance(found, Press)
    assert (found.place, found.person.id, found.message_id) == (Place(-1001), 71, 5)
    stopped = {"chat": PRIVATE, "from": ADA, "draft_id": 3}
    update = Update.de_json({"update_id": 1, "stopped_message_generation": stopped}, None)
    assert update is not None
    assert isinstance(read_update(update, 4200, "agent_bot"), Stopped)
    broken = Update.de_json({"update_id": 1, "stopped_message_generation": {"chat": 5}}, None)
    assert broken is not None
    assert read_update(broken, 4200, "agent_bot") is None
