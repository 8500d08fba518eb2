"""What Telegram knows about one bot: people, chats, messages, files."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, Literal

from agentsession_dev.telegram_server.errors import ApiError, bad_request, forbidden

JsonObject = dict[str, Any]
ChatType = Literal["private", "group", "supergroup"]

# Telegram's megabytes are millions.
MAX_DOWNLOAD_BYTES = 20_000_000
MAX_UPLOAD_BYTES = 50_000_000
MAX_PHOTO_BYTES = 10_000_000


@dataclass
class File:
    """A file that somebody sent; `kind` is the folder of its path."""

    file_id: str
    kind: str
    name: str
    mime_type: str
    content: bytes

    @property
    def path(self) -> str:
        """The path below /file/bot<token>/."""
        return f"{self.kind}/{self.file_id}/{self.name}"


@dataclass
class Chat:
    """One chat and its messages by id. `ended` is the refusal of every call to it, if any."""

    id: int
    type: ChatType
    title: str = ""
    username: str = ""
    is_forum: bool = False
    topics: set[int] = field(default_factory=set)
    messages: dict[int, JsonObject] = field(default_factory=dict)
    reactions: dict[int, list[str]] = field(default_factory=dict)
    draft: JsonObject | None = None
    ended: ApiError | None = None

    def json(self) -> JsonObject:
        """The chat as it stands in messages."""
        named = (
            {"first_name": self.title, "username": self.username}
            if self.type == "private"
            else {"title": self.title, "is_forum": self.is_forum or None}
        )
        return {"id": self.id, "type": self.type} | {
            name: value for name, value in named.items() if value
        }


class Account:
    """The state behind the methods."""

    def __init__(self, bot: JsonObject, first_message_id: int = 1) -> None:
        self.bot = bot
        self.users: dict[int, JsonObject] = {}
        self.chats: dict[int, Chat] = {}
        self.files: dict[str, File] = {}
        self.commands: dict[str, list[JsonObject]] = {}
        # Private chats and small groups share one sequence; a supergroup has its own.
        self._first_id = first_message_id
        self._shared_ids = itertools.count(first_message_id)
        self._own_ids: dict[int, itertools.count[int]] = {}

    def add_user(self, user: JsonObject) -> JsonObject:
        """Add a person, or replace what is known of them; opens their private chat."""
        self.users[user["id"]] = user
        chat = self.chats.setdefault(user["id"], Chat(user["id"], "private"))
        chat.title, chat.username = user["first_name"], user.get("username", "")
        return user

    def add_chat(self, chat: Chat) -> Chat:
        """Add a group."""
        self.chats[chat.id] = chat
        return chat

    def chat(self, chat_id: int) -> Chat:
        """Return the chat for a call of the bot.

        Raises:
            ApiError: 400 for a chat that the bot has never seen, 403 or 400 for one that has ended.
        """
        chat = self.chats.get(chat_id)
        if chat is None:
            raise bad_request("chat not found")
        if chat.ended is not None:
            raise chat.ended
        return chat

    def message(self, chat: Chat, message_id: int, missing: str) -> JsonObject:
        """Return one of the chat's messages.

        Raises:
            ApiError: 400 with the words `missing`.
        """
        message = chat.messages.get(message_id)
        if message is None:
            raise bad_request(missing)
        return message

    def new_message_id(self, chat: Chat) -> int:
        """Return the next id of the chat's sequence."""
        if chat.type == "supergroup":
            return next(self._own_ids.setdefault(chat.id, itertools.count(self._first_id)))
        return next(self._shared_ids)

    def file(self, file_id: str) -> File:
        """Return a file that may be downloaded.

        Raises:
            ApiError: 400 for an unknown id or a file over 20 MB.
        """
        found = self.files.get(file_id)
        if found is None:
            raise bad_request("wrong file_id or the file is temporarily unavailable")
        if len(found.content) > MAX_DOWNLOAD_BYTES:
            raise bad_request("file is too big")
        return found

    def block(self, chat: Chat) -> None:
        """A person blocks the bot, or a group throws it out."""
        private = chat.type == "private"
        chat.ended = forbidden(
            "bot was blocked by the user"
            if private
            else f"bot was kicked from the {chat.type} chat"
        )

    def unblock(self, chat: Chat) -> None:
        """The person lets the bot in again."""
        chat.ended = None

    def migrate(self, chat: Chat, new_id: int) -> Chat:
        """A group becomes a supergroup with another id; the old one is refused from then on."""
        chat.ended = ApiError(
            400, "group chat was upgraded to a supergroup chat", migrate_to_chat_id=new_id
        )
        return self.add_chat(Chat(new_id, "supergroup", title=chat.title))
