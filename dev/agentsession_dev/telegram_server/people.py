"""What people do: they write, edit, press buttons, send files, block the bot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agentsession_dev.telegram_server.account import Account, Chat
from agentsession_dev.telegram_server.errors import ApiError, bad_request
from agentsession_dev.telegram_server.journal import Journal
from agentsession_dev.telegram_server.markup import utf16_length
from agentsession_dev.telegram_server.sending import (
    Effects,
    Sender,
    Upload,
    describe_file,
)
from agentsession_dev.telegram_server.updates import UpdateQueue

JsonObject = dict[str, Any]

QUERY_SECONDS = 900
_FOLDERS = {"document": "documents", "photo": "photos", "voice": "voice"}


class Writing(BaseModel):
    """A person's message. `chat_id` absent means the private chat with the bot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_id: int
    chat_id: int | None = None
    text: str = Field(default="", max_length=4096)
    message_thread_id: int | None = None
    reply_to_message_id: int | None = None
    forward_from: JsonObject | None = None
    media_group_id: str | None = None


@dataclass
class Query:
    """A pressed button that waits for an answer."""

    query_id: str
    chat_id: int
    asked_at: float


class People:
    """Turns what people do into updates for the bot."""

    def __init__(
        self,
        account: Account,
        sender: Sender,
        updates: UpdateQueue,
        journal: Journal,
        effects: Effects,
    ) -> None:
        self._account = account
        self._sender = sender
        self._updates = updates
        self._journal = journal
        self._effects = effects
        self._queries: dict[str, Query] = {}

    def join(self, user_id: int, first_name: str, username: str = "") -> JsonObject:
        """Make a person known; their private chat is open."""
        user: JsonObject = {"id": user_id, "is_bot": False, "first_name": first_name}
        if username:
            user["username"] = username
        return self._account.add_user(user)

    def write(
        self,
        writing: Writing,
        upload: Upload | None = None,
        media: Literal["document", "photo", "voice"] = "document",
    ) -> JsonObject:
        """Post a person's message, with a file if there is one.

        Raises:
            ApiError: 400 for an unknown person, chat or replied message.
        """
        chat, user = self._place(writing)
        message = self._new_message(chat, user, writing)
        name = "text" if upload is None else "caption"
        if writing.text:
            message[name] = writing.text
            entities = _entities(writing.text)
            if entities:
                message["entities" if upload is None else "caption_entities"] = entities
        if upload is not None:
            file = describe_file(self._sender.add_file(_FOLDERS[media], upload))
            message[media] = [file] if media == "photo" else file
        chat.messages[message["message_id"]] = message
        self._journal.add("message", chat.id, message)
        self._updates.add("message", message)
        return message

    def edit(self, chat_id: int, message_id: int, text: str) -> JsonObject:
        """A person edits their message."""
        chat = self._known_chat(chat_id)
        message = self._account.message(chat, message_id, "message to edit not found")
        changed = message | {"text": text, "edit_date": int(self._effects.now())}
        chat.messages[message_id] = changed
        self._journal.add("edit", chat.id, changed)
        self._updates.add("edited_message", changed)
        return changed

    def press(self, user_id: int, chat_id: int, message_id: int, data: str) -> str:
        """A person presses a button that stands below a message; returns the query's id.

        Raises:
            ApiError: 400 when the message has no such button (any more).
        """
        chat = self._known_chat(chat_id)
        message = self._account.message(chat, message_id, "message not found")
        rows = message.get("reply_markup", {}).get("inline_keyboard", [])
        if not any(button.get("callback_data") == data for row in rows for button in row):
            raise bad_request(f"the message has no button with the data {data!r}")
        query = Query(self._effects.new_id(), chat_id, self._effects.now())
        self._queries[query.query_id] = query
        payload = {
            "id": query.query_id,
            "from": self._user(user_id),
            "message": message,
            "chat_instance": str(chat_id),
            "data": data,
        }
        self._journal.add("callback", chat_id, {"message_id": message_id, "data": data})
        self._updates.add("callback_query", payload)
        return query.query_id

    def answered(self, query_id: str, text: str, show_alert: bool) -> bool:
        """Carry out answerCallbackQuery: once, and not long after.

        Raises:
            ApiError: 400 for a query that is unknown, answered already or too old.
        """
        query = self._queries.pop(query_id, None)
        if query is None or self._effects.now() - query.asked_at > QUERY_SECONDS:
            raise bad_request(
                "query is too old and response timeout expired or query ID is invalid"
            )
        data = {"query_id": query_id, "text": text, "show_alert": show_alert}
        self._journal.add("callback_answer", query.chat_id, data)
        return True

    def stop_draft(self, user_id: int) -> None:
        """A person presses Stop on a draft that allows it.

        Raises:
            ApiError: 400 when there is no such draft.
        """
        chat = self._known_chat(user_id)
        if chat.draft is None or not chat.draft["can_stop"]:
            raise bad_request("there is no draft that can be stopped")
        stopped = {
            "chat": chat.json(),
            "draft_id": chat.draft["draft_id"],
            "from": self._user(user_id),
        }
        self._updates.add("stopped_message_generation", stopped)

    def set_blocked(self, user_id: int, blocked: bool) -> None:
        """A person blocks the bot or lets it in again."""
        chat = self._known_chat(user_id)
        old, new = ("member", "kicked") if blocked else ("kicked", "member")
        if blocked:
            self._account.block(chat)
        else:
            self._account.unblock(chat)
        member = {"user": self._account.bot}
        self._updates.add(
            "my_chat_member",
            {
                "chat": chat.json(),
                "from": self._user(user_id),
                "date": int(self._effects.now()),
                "old_chat_member": member | {"status": old, **_until(old)},
                "new_chat_member": member | {"status": new, **_until(new)},
            },
        )

    def migrate(self, chat_id: int, new_id: int) -> None:
        """A group becomes a supergroup."""
        chat = self._known_chat(chat_id)
        new = self._account.migrate(chat, new_id)
        base = {"date": int(self._effects.now()), "from": self._account.bot}
        moves = ((chat, {"migrate_to_chat_id": new_id}), (new, {"migrate_from_chat_id": chat_id}))
        for place, move in moves:
            message_id = self._account.new_message_id(place)
            self._updates.add(
                "message", base | {"message_id": message_id, "chat": place.json()} | move
            )

    def _new_message(self, chat: Chat, user: JsonObject, writing: Writing) -> JsonObject:
        message: JsonObject = {
            "message_id": self._account.new_message_id(chat),
            "from": user,
            "chat": chat.json(),
            "date": int(self._effects.now()),
        }
        if writing.message_thread_id is not None:
            message |= {"message_thread_id": writing.message_thread_id, "is_topic_message": True}
        if writing.reply_to_message_id is not None:
            found = self._account.message(
                chat, writing.reply_to_message_id, "message to be replied not found"
            )
            message["reply_to_message"] = {
                name: value for name, value in found.items() if name != "reply_to_message"
            }
        if writing.forward_from is not None:
            message["forward_origin"] = {
                "type": "user",
                "date": int(self._effects.now()),
                "sender_user": writing.forward_from,
            }
        if writing.media_group_id is not None:
            message["media_group_id"] = writing.media_group_id
        return message

    def _place(self, writing: Writing) -> tuple[Chat, JsonObject]:
        chat = self._known_chat(writing.chat_id or writing.user_id)
        if writing.message_thread_id is not None and writing.message_thread_id not in chat.topics:
            raise bad_request("message thread not found")
        if chat.type == "private" and chat.ended is not None:
            raise bad_request("the person has blocked the bot: unblock it first")
        return chat, self._user(writing.user_id)

    def _known_chat(self, chat_id: int) -> Chat:
        chat = self._account.chats.get(chat_id)
        if chat is None:
            raise bad_request(f"there is no chat {chat_id}: add it first")
        return chat

    def _user(self, user_id: int) -> JsonObject:
        user = self._account.users.get(user_id)
        if user is None:
            raise ApiError(400, f"there is no person {user_id}: add them first")
        return user


def _until(status: str) -> JsonObject:
    return {"until_date": 0} if status == "kicked" else {}


def _entities(text: str) -> list[JsonObject]:
    """Commands and mentions, which Telegram marks in what people write."""
    entities: list[JsonObject] = []
    position = 0
    for word in text.split(" "):
        bare = word.split("\n", 1)[0]
        kind = {"/": "bot_command", "@": "mention"}.get(bare[:1])
        if kind and len(bare) > 1:
            entities.append(
                {
                    "type": kind,
                    "offset": utf16_length(text[:position]),
                    "length": utf16_length(bare),
                }
            )
        position += len(word) + 1
    return entities
