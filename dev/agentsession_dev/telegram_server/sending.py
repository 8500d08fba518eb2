"""What the bot does in chats: messages, edits, drafts, files, reactions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from agentsession_dev.telegram_server.account import (
    MAX_PHOTO_BYTES,
    MAX_UPLOAD_BYTES,
    Account,
    Chat,
    File,
)
from agentsession_dev.telegram_server.errors import ApiError, bad_request
from agentsession_dev.telegram_server.journal import Journal
from agentsession_dev.telegram_server.markup import FormattedText, parse_html, plain, utf16_length
from agentsession_dev.telegram_server.params import (
    DeleteMessage,
    EditMessageReplyMarkup,
    EditMessageText,
    InlineKeyboard,
    ReplyParameters,
    SendChatAction,
    SendFile,
    SendMessage,
    SendMessageDraft,
    SetMessageReaction,
)
from agentsession_dev.telegram_server.reactions import REACTIONS

JsonObject = dict[str, Any]

MAX_TEXT = 4096
MAX_CAPTION = 1024


@dataclass(frozen=True)
class Upload:
    """A file that came with a call."""

    name: str
    mime_type: str
    content: bytes


@dataclass(frozen=True)
class Effects:
    """Everything that is not decided here: the clock (Unix seconds) and ids of files and queries."""

    now: Callable[[], float]
    new_id: Callable[[], str]


class Sender:
    """Carries out the calls that change a chat."""

    def __init__(self, account: Account, journal: Journal, effects: Effects) -> None:
        self._account = account
        self._journal = journal
        self._effects = effects

    def send_message(self, params: SendMessage) -> JsonObject:
        """Carry out sendMessage."""
        chat = self._account.chat(params.chat_id)
        found = _formatted(params.text, params.parse_mode)
        if not found.text.strip():
            raise bad_request("message text is empty")
        _check_length(found, MAX_TEXT, "message is too long")
        content: JsonObject = {"text": found.text}
        if found.entities:
            content["entities"] = found.entities
        return self._post(chat, params, content)

    def send_draft(self, params: SendMessageDraft) -> bool:
        """Carry out sendMessageDraft: a preview that nobody has to confirm, for private chats."""
        chat = self._account.chat(params.chat_id)
        if chat.type != "private":
            raise bad_request("message drafts are for private chats only")
        if params.draft_id == 0:
            raise bad_request("draft_id must be non-zero")
        found = _formatted(params.text, params.parse_mode)
        _check_length(found, MAX_TEXT, "message is too long")
        chat.draft = {
            "draft_id": params.draft_id,
            "text": found.text,
            "entities": found.entities,
            "can_stop": params.can_stop,
        }
        self._journal.add("draft", chat.id, chat.draft)
        return True

    def edit_text(self, params: EditMessageText) -> JsonObject:
        """Carry out editMessageText."""
        chat, message = self._own_message(params.chat_id, params.message_id)
        if "text" not in message:
            raise bad_request("there is no text in the message to edit")
        found = _formatted(params.text, params.parse_mode)
        if not found.text.strip():
            raise bad_request("message text is empty")
        _check_length(found, MAX_TEXT, "message is too long")
        new = {
            "text": found.text,
            "entities": found.entities,
            "reply_markup": _markup(params.reply_markup),
        }
        return self._change(chat, message, new)

    def edit_markup(self, params: EditMessageReplyMarkup) -> JsonObject:
        """Carry out editMessageReplyMarkup."""
        chat, message = self._own_message(params.chat_id, params.message_id)
        return self._change(chat, message, {"reply_markup": _markup(params.reply_markup)})

    def delete_message(self, params: DeleteMessage) -> bool:
        """Carry out deleteMessage."""
        chat = self._account.chat(params.chat_id)
        self._account.message(chat, params.message_id, "message to delete not found")
        del chat.messages[params.message_id]
        self._journal.add("delete", chat.id, {"message_id": params.message_id})
        return True

    def send_file(
        self, kind: Literal["document", "photo"], params: SendFile, uploads: dict[str, Upload]
    ) -> JsonObject:
        """Carry out sendDocument or sendPhoto."""
        chat = self._account.chat(params.chat_id)
        file = self._file_of(kind, params.document if kind == "document" else params.photo, uploads)
        found = _formatted(params.caption, params.parse_mode)
        _check_length(found, MAX_CAPTION, "message caption is too long")
        described = describe_file(file)
        content: JsonObject = {kind: [described] if kind == "photo" else described}
        if found.text:
            content |= {"caption": found.text, "caption_entities": found.entities}
        return self._post(chat, params, content)

    def send_action(self, params: SendChatAction) -> bool:
        """Carry out sendChatAction."""
        chat = self._account.chat(params.chat_id)
        _check_topic(chat, params.message_thread_id)
        data = {"action": params.action, "message_thread_id": params.message_thread_id}
        self._journal.add("action", chat.id, data)
        return True

    def set_reaction(self, params: SetMessageReaction) -> bool:
        """Carry out setMessageReaction."""
        chat = self._account.chat(params.chat_id)
        self._account.message(chat, params.message_id, "message to react not found")
        emoji = [reaction.emoji for reaction in params.reaction]
        if not REACTIONS.issuperset(emoji):
            raise bad_request("REACTION_INVALID")
        chat.reactions[params.message_id] = emoji
        self._journal.add("reaction", chat.id, {"message_id": params.message_id, "emoji": emoji})
        return True

    def add_file(self, kind: str, upload: Upload) -> File:
        """Keep a file and give it an id."""
        file = File(self._effects.new_id(), kind, upload.name, upload.mime_type, upload.content)
        self._account.files[file.file_id] = file
        return file

    def _file_of(self, kind: str, value: str | None, uploads: dict[str, Upload]) -> File:
        name = (value or "").removeprefix("attach://") if value else kind
        upload = uploads.get(name)
        if upload is None:
            if not value or value not in self._account.files:
                raise bad_request(f"there is no {kind} in the request")
            return self._account.files[value]
        if not upload.content:
            raise bad_request("file must be non-empty")
        if len(upload.content) > MAX_UPLOAD_BYTES:
            raise ApiError(413)
        if kind == "photo" and len(upload.content) > MAX_PHOTO_BYTES:
            raise bad_request("file is too big for a photo")
        if kind == "photo" and not is_picture(upload.content):
            raise bad_request("IMAGE_PROCESS_FAILED")
        return self.add_file(f"{kind}s", upload)

    def _post(self, chat: Chat, params: SendMessage | SendFile, content: JsonObject) -> JsonObject:
        _check_topic(chat, params.message_thread_id)
        message = {
            "message_id": self._account.new_message_id(chat),
            "from": self._account.bot,
            "chat": chat.json(),
            "date": int(self._effects.now()),
            **content,
        }
        reply = self._replied(chat, params.reply_parameters)
        if reply is not None:
            message["reply_to_message"] = reply
        if params.message_thread_id is not None:
            message |= {"message_thread_id": params.message_thread_id, "is_topic_message": True}
        markup = _markup(params.reply_markup)
        if markup is not None:
            message["reply_markup"] = markup
        chat.messages[message["message_id"]] = message
        chat.draft = None
        self._journal.add("message", chat.id, message)
        return message

    def _replied(self, chat: Chat, parameters: ReplyParameters | None) -> JsonObject | None:
        if parameters is None:
            return None
        found = chat.messages.get(parameters.message_id)
        if found is None and not parameters.allow_sending_without_reply:
            raise bad_request("message to be replied not found")
        return found and without_reply(found)

    def _own_message(self, chat_id: int, message_id: int) -> tuple[Chat, JsonObject]:
        chat = self._account.chat(chat_id)
        message = self._account.message(chat, message_id, "message to edit not found")
        if message["from"]["id"] != self._account.bot["id"]:
            raise bad_request("message can't be edited")
        return chat, message

    def _change(self, chat: Chat, message: JsonObject, new: JsonObject) -> JsonObject:
        given = {name: value for name, value in new.items() if value}
        if all(given.get(name) == message.get(name) for name in new):
            raise bad_request(
                "message is not modified: specified new message content and reply markup are exactly "
                "the same as a current content and reply markup of the message"
            )
        changed = {name: value for name, value in message.items() if name not in new}
        changed |= given | {"edit_date": int(self._effects.now())}
        chat.messages[message["message_id"]] = changed
        self._journal.add("edit", chat.id, changed)
        return changed


def is_picture(content: bytes) -> bool:
    """Whether a file begins as a picture does that Telegram makes a photo of."""
    webp = content[:4] == b"RIFF" and content[8:12] == b"WEBP"
    return webp or content.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))


def describe_file(file: File) -> JsonObject:
    """Return how a file stands in a message."""
    described: JsonObject = {
        "file_id": file.file_id,
        "file_unique_id": f"u{file.file_id}",
        "file_size": len(file.content),
    }
    if file.kind == "photos":
        return described | {"width": 640, "height": 480}
    if file.kind == "voice":
        return described | {"duration": 1, "mime_type": file.mime_type}
    return described | {"file_name": file.name, "mime_type": file.mime_type}


def without_reply(message: JsonObject) -> JsonObject:
    """Return a message as it stands in an answer to it: one level deep."""
    return {name: value for name, value in message.items() if name != "reply_to_message"}


def _formatted(text: str, parse_mode: str | None) -> FormattedText:
    return parse_html(text) if parse_mode == "HTML" else plain(text)


def _check_length(found: FormattedText, most: int, reason: str) -> None:
    if utf16_length(found.text) > most:
        raise bad_request(reason)


def _check_topic(chat: Chat, thread: int | None) -> None:
    if thread is not None and thread not in chat.topics:
        raise bad_request("message thread not found")


def _markup(keyboard: InlineKeyboard | None) -> JsonObject | None:
    if keyboard is None or not any(keyboard.inline_keyboard):
        return None
    return keyboard.model_dump(exclude_none=True)
