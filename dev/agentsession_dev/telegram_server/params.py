"""Parameters of the Bot API's methods, as far as the stand-in has them.

Unlike Telegram it refuses a parameter that it does not know: a misspelt one would be lost in silence.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from agentsession_dev.telegram_server.errors import bad_request

T = TypeVar("T")

CHAT_ACTIONS = Literal[
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
]
# Kinds that getUpdates and webhooks leave out unless allowed_updates names them.
UNLISTED_UPDATES = frozenset({"chat_member", "message_reaction", "message_reaction_count"})


def _from_json(value: object) -> object:
    """Structures come as JSON text inside of a form."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("can't parse a parameter as JSON") from None


Json = Annotated[T, BeforeValidator(_from_json)]


class Params(BaseModel):
    """Base of every method's parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Params):
    """A method without parameters."""


class Button(Params):
    """One inline button; `callback_data` is at most 64 bytes."""

    text: str = Field(min_length=1)
    callback_data: str | None = None
    url: str | None = None

    @model_validator(mode="after")
    def _has_one_action(self) -> Button:
        if (self.callback_data is None) == (self.url is None):
            raise ValueError("Text buttons are unallowed in the inline keyboard")
        if self.callback_data is not None and not 1 <= len(self.callback_data.encode()) <= 64:
            raise ValueError("BUTTON_DATA_INVALID")
        return self


class InlineKeyboard(Params):
    """Rows of buttons below a message."""

    inline_keyboard: list[list[Button]]


class ReplyParameters(Params):
    """Which message is answered."""

    message_id: int
    chat_id: int | None = None
    allow_sending_without_reply: bool = False


class LinkPreview(Params):
    """Whether links show a preview."""

    is_disabled: bool = False


class InChat(Params):
    """What every call to a chat has."""

    chat_id: int
    message_thread_id: int | None = None


class Formatted(InChat):
    """A text and how it is written."""

    text: str = ""
    parse_mode: Literal["HTML"] | None = None


class SendMessage(Formatted):
    """Parameters of sendMessage."""

    disable_notification: bool = False
    protect_content: bool = False
    link_preview_options: Json[LinkPreview] | None = None
    reply_parameters: Json[ReplyParameters] | None = None
    reply_markup: Json[InlineKeyboard] | None = None


class SendMessageDraft(Formatted):
    """Parameters of sendMessageDraft; `draft_id` is not 0."""

    draft_id: int
    can_stop: bool = False


class EditMessageText(Params):
    """Parameters of editMessageText."""

    chat_id: int
    message_id: int
    text: str = ""
    parse_mode: Literal["HTML"] | None = None
    link_preview_options: Json[LinkPreview] | None = None
    reply_markup: Json[InlineKeyboard] | None = None


class EditMessageReplyMarkup(Params):
    """Parameters of editMessageReplyMarkup."""

    chat_id: int
    message_id: int
    reply_markup: Json[InlineKeyboard] | None = None


class DeleteMessage(Params):
    """Parameters of deleteMessage."""

    chat_id: int
    message_id: int


class SendFile(InChat):
    """Parameters of sendDocument and sendPhoto; the file comes as a part of the form or as an id."""

    document: str | None = None
    photo: str | None = None
    caption: str = ""
    parse_mode: Literal["HTML"] | None = None
    disable_notification: bool = False
    reply_parameters: Json[ReplyParameters] | None = None
    reply_markup: Json[InlineKeyboard] | None = None


class SendChatAction(InChat):
    """Parameters of sendChatAction."""

    action: CHAT_ACTIONS


class Reaction(Params):
    """An emoji as reaction."""

    type: Literal["emoji"]
    emoji: str


class SetMessageReaction(Params):
    """Parameters of setMessageReaction; a bot sets at most one."""

    chat_id: int
    message_id: int
    reaction: Json[Annotated[list[Reaction], Field(max_length=1)]] = Field(default_factory=list)
    is_big: bool = False


class AnswerCallbackQuery(Params):
    """Parameters of answerCallbackQuery."""

    callback_query_id: str
    text: str = Field(default="", max_length=200)
    show_alert: bool = False
    cache_time: int = 0


class GetUpdates(Params):
    """Parameters of getUpdates; `timeout` in seconds."""

    offset: int = 0
    limit: int = Field(default=100, ge=1, le=100)
    timeout: float = Field(default=0, ge=0)
    allowed_updates: Json[list[str]] | None = None


class SetWebhook(Params):
    """Parameters of setWebhook."""

    url: str
    max_connections: int = Field(default=40, ge=1, le=100)
    allowed_updates: Json[list[str]] | None = None
    drop_pending_updates: bool = False
    secret_token: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,256}$")


class DeleteWebhook(Params):
    """Parameters of deleteWebhook."""

    drop_pending_updates: bool = False


class BotCommand(Params):
    """One entry of the command menu."""

    command: str = Field(pattern=r"^[a-z0-9_]{1,32}$")
    description: str = Field(min_length=1, max_length=256)


class CommandScope(Params):
    """Whose menu it is."""

    type: Literal["default", "all_private_chats", "all_group_chats", "all_chat_administrators"]


class SetMyCommands(Params):
    """Parameters of setMyCommands."""

    commands: Json[Annotated[list[BotCommand], Field(max_length=100)]]
    scope: Json[CommandScope] | None = None
    language_code: str = ""


class GetMyCommands(Params):
    """Parameters of getMyCommands and deleteMyCommands."""

    scope: Json[CommandScope] | None = None
    language_code: str = ""


class GetChat(Params):
    """Parameters of getChat."""

    chat_id: int


class GetFile(Params):
    """Parameters of getFile."""

    file_id: str


ParamsT = TypeVar("ParamsT", bound=Params)


def read_params(model: type[ParamsT], values: dict[str, Any]) -> ParamsT:
    """Validate the parameters of a call.

    Raises:
        ApiError: 400 that names the first wrong parameter.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in problem["loc"])
        own_words = problem.get("ctx", {}).get("error")
        raise bad_request(str(own_words or f"{name}: {problem['msg']}")) from None
