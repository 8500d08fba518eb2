"""The Bot API's methods by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from agentsession_dev.telegram_server import params as p
from agentsession_dev.telegram_server.account import Account
from agentsession_dev.telegram_server.errors import ApiError
from agentsession_dev.telegram_server.people import People
from agentsession_dev.telegram_server.sending import Sender, Upload
from agentsession_dev.telegram_server.updates import UpdateQueue
from agentsession_dev.telegram_server.webhook import Webhook

JsonObject = dict[str, Any]
Uploads = dict[str, Upload]
Run = Callable[[Any, Uploads], Any]


@dataclass(frozen=True)
class Method:
    """What a method takes and does. `paced`: it counts against the chat's flood limit."""

    params: type[p.Params]
    run: Run
    paced: bool = False


class Methods:
    """Carries out calls by the method's name, which is case-insensitive as at Telegram."""

    def __init__(
        self,
        account: Account,
        sender: Sender,
        people: People,
        updates: UpdateQueue,
        webhook: Webhook,
    ) -> None:
        self._account = account
        self._updates = updates
        self._webhook = webhook
        self._table = self._chat_methods(sender, people) | self._bot_methods()

    @property
    def names(self) -> frozenset[str]:
        """The methods' names in lower case."""
        return frozenset(self._table)

    def find(self, name: str) -> Method:
        """Return a method.

        Raises:
            ApiError: 404 for one that the stand-in does not have.
        """
        method = self._table.get(name.lower())
        if method is None:
            raise ApiError(404, "method not found")
        return method

    async def call(self, method: Method, params: p.Params, uploads: Uploads) -> object:
        """Carry a call out and return its result."""
        result = method.run(params, uploads)
        return await result if isawaitable(result) else result

    def _chat_methods(self, sender: Sender, people: People) -> dict[str, Method]:
        def answer(params: p.AnswerCallbackQuery, _: Uploads) -> bool:
            return people.answered(params.callback_query_id, params.text, params.show_alert)

        return {
            "sendmessage": Method(p.SendMessage, _only(sender.send_message), paced=True),
            "sendmessagedraft": Method(p.SendMessageDraft, _only(sender.send_draft)),
            "editmessagetext": Method(p.EditMessageText, _only(sender.edit_text), paced=True),
            "editmessagereplymarkup": Method(
                p.EditMessageReplyMarkup, _only(sender.edit_markup), paced=True
            ),
            "deletemessage": Method(p.DeleteMessage, _only(sender.delete_message)),
            "senddocument": Method(
                p.SendFile,
                lambda given, files: sender.send_file("document", given, files),
                paced=True,
            ),
            "sendphoto": Method(
                p.SendFile, lambda given, files: sender.send_file("photo", given, files), paced=True
            ),
            "sendchataction": Method(p.SendChatAction, _only(sender.send_action)),
            "setmessagereaction": Method(p.SetMessageReaction, _only(sender.set_reaction)),
            "answercallbackquery": Method(p.AnswerCallbackQuery, answer),
        }

    def _bot_methods(self) -> dict[str, Method]:
        return {
            "getme": Method(p.Nothing, lambda given, files: self._account.bot),
            "getchat": Method(p.GetChat, _only(self._get_chat)),
            "getfile": Method(p.GetFile, _only(self._get_file)),
            "getupdates": Method(p.GetUpdates, _only(self._get_updates)),
            "setwebhook": Method(p.SetWebhook, _only(self._set_webhook)),
            "deletewebhook": Method(p.DeleteWebhook, _only(self._delete_webhook)),
            "getwebhookinfo": Method(p.Nothing, lambda given, files: self._webhook.info()),
            "setmycommands": Method(p.SetMyCommands, _only(self._set_commands)),
            "getmycommands": Method(p.GetMyCommands, _only(self._get_commands)),
            "deletemycommands": Method(p.GetMyCommands, _only(self._delete_commands)),
        }

    def _get_chat(self, params: p.GetChat) -> JsonObject:
        chat = self._account.chat(params.chat_id)
        return chat.json() | {
            "accent_color_id": 0,
            "max_reaction_count": 11,
            "accepted_gift_types": _GIFTS,
        }

    def _get_file(self, params: p.GetFile) -> JsonObject:
        file = self._account.file(params.file_id)
        return {
            "file_id": file.file_id,
            "file_unique_id": f"u{file.file_id}",
            "file_size": len(file.content),
            "file_path": file.path,
        }

    async def _get_updates(self, params: p.GetUpdates) -> list[JsonObject]:
        if self._webhook.active:
            raise ApiError(
                409,
                "can't use getUpdates method while webhook is active; "
                "use deleteWebhook to delete the webhook first",
            )
        return await self._updates.poll(params)

    async def _set_webhook(self, params: p.SetWebhook) -> bool:
        return await self._new_webhook(params, params.drop_pending_updates)

    async def _delete_webhook(self, params: p.DeleteWebhook) -> bool:
        return await self._new_webhook(None, params.drop_pending_updates)

    async def _new_webhook(self, settings: p.SetWebhook | None, drop: bool) -> bool:
        if drop:
            self._updates.clear()
        return await self._webhook.set(settings)

    def _set_commands(self, params: p.SetMyCommands) -> bool:
        commands = [command.model_dump() for command in params.commands]
        self._account.commands[_menu(params.scope, params.language_code)] = commands
        return True

    def _get_commands(self, params: p.GetMyCommands) -> list[JsonObject]:
        return self._account.commands.get(_menu(params.scope, params.language_code), [])

    def _delete_commands(self, params: p.GetMyCommands) -> bool:
        self._account.commands.pop(_menu(params.scope, params.language_code), None)
        return True


_GIFTS = {
    "unlimited_gifts": False,
    "limited_gifts": False,
    "unique_gifts": False,
    "premium_subscription": False,
    "gifts_from_channels": False,
}


def _menu(scope: p.CommandScope | None, language: str) -> str:
    return f"{scope.type if scope else 'default'}:{language}"


def _only(run: Callable[[Any], Any | Awaitable[Any]]) -> Run:
    """A method that takes no files."""
    return lambda params, uploads: run(params)
