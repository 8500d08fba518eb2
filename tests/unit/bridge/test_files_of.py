"""Files in Telegram's updates as references."""

from __future__ import annotations

import re
from typing import Any

import pytest
from telegram import Update

from agentsession_bridge.arrivals import Command, Unreadable, Words, read_update
from agentsession_bridge.files_of import too_large
from agentsession_core.wire import FILE_IN_LIMIT_BYTES

ADA = {"id": 71, "is_bot": False, "first_name": "Ada"}
GROUP = {"id": -100123, "type": "supergroup", "title": "Team"}


def file(**more: Any) -> dict[str, Any]:
    return {"file_id": "telegrams-own", "file_unique_id": "AQAD/=", "file_size": 7, **more}


def read(chat: dict[str, Any] | None = None, **content: Any) -> Any:
    message = {
        "message_id": 5,
        "date": 1_700_000_000,
        "chat": chat or {"id": 71, "type": "private"},
        "from": ADA,
        **content,
    }
    update = Update.de_json({"update_id": 1, "message": message}, None)
    assert update is not None
    return read_update(update, 4200, "agent_demo_bot")


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        ({"document": file(file_name="Plan ä.pdf")}, "Plan ä.pdf", "document"),
        ({"document": file()}, "document", "document"),
        ({"document": file(mime_type="application/pdf")}, "document.pdf", "document"),
        ({"document": file(file_name="x" * 300 + ".pdf")}, "x" * 251 + ".pdf", "document"),
        ({"photo": [file(width=9, height=9), file(width=99, height=99)]}, "photo.jpg", "photo"),
        ({"voice": file(duration=1, mime_type="audio/ogg")}, "voice.ogg", "voice"),
        ({"audio": file(duration=1, file_name="a.mp3")}, "a.mp3", "audio"),
        ({"video": file(duration=1, width=1, height=1)}, "video.mp4", "video"),
        ({"video_note": file(duration=1, length=1)}, "video_note.mp4", "video_note"),
    ],
)
def test_kinds_and_names(content: dict[str, Any], name: str, kind: str) -> None:
    words = read(**content, caption="look")
    assert isinstance(words, Words)
    [found] = words.files
    assert (found.name, found.kind, found.size, found.ref) == (name, kind, 7, "telegrams-own")
    assert re.fullmatch(r"[0-9a-f]{32}", found.id)
    assert words.text == "look"


def test_the_largest_of_a_photo_counts() -> None:
    sizes = [file(width=9, height=9), file(width=99, height=99) | {"file_id": "large"}]
    assert [one.ref for one in read(photo=sizes).files] == ["large"]


def test_a_file_without_words_is_a_message() -> None:
    words = read(document=file(file_name="a.txt"))
    assert isinstance(words, Words)
    assert (words.text, len(words.files)) == ("", 1)


def test_a_command_below_a_file_has_the_file() -> None:
    command = read(document=file(file_name="a.txt"), caption="/new read this")
    assert isinstance(command, Command)
    assert (command.name, command.argument, len(command.files)) == ("new", "read this", 1)


def test_in_a_group_a_file_is_meant_by_its_caption() -> None:
    assert read(GROUP, document=file(), caption="see here") is None
    words = read(GROUP, document=file(), caption="@agent_demo_bot see here")
    assert (words.text, len(words.files)) == ("see here", 1)


def test_what_is_no_file_is_named() -> None:
    found = read(location={"latitude": 1.0, "longitude": 2.0})
    assert isinstance(found, Unreadable)
    assert found.kind == "location"


def test_what_telegram_does_not_give_is_known_before() -> None:
    [fits] = read(document=file() | {"file_size": FILE_IN_LIMIT_BYTES}).files
    [large] = read(document=file() | {"file_size": FILE_IN_LIMIT_BYTES + 1}).files
    assert too_large((fits, large)) == (large,)
