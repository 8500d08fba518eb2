"""One stand-in: its parts, and how a call goes through them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from agentsession_dev.telegram_server.account import Account
from agentsession_dev.telegram_server.errors import ApiError
from agentsession_dev.telegram_server.faults import Fault, FaultBook, FloodLimits
from agentsession_dev.telegram_server.journal import Journal
from agentsession_dev.telegram_server.methods import Methods, Uploads
from agentsession_dev.telegram_server.params import read_params
from agentsession_dev.telegram_server.people import People
from agentsession_dev.telegram_server.sending import Effects, Sender
from agentsession_dev.telegram_server.updates import UpdateQueue
from agentsession_dev.telegram_server.webhook import Webhook

JsonObject = dict[str, Any]

BOT_USERNAME = "agent_demo_bot"
LONG_TEXT = 500


@dataclass(frozen=True)
class Answer:
    """What a call is answered with; `fault` says whether the answer gets through."""

    status: int
    body: JsonObject
    fault: Fault | None = None


@dataclass(frozen=True)
class Settings:
    """`token`: the one that calls must have. `first_*`: where ids begin, those of a chat's messages too.

    `people`: ids and names of those who are there from the start.
    """

    token: str
    flood_limits: bool = True
    first_update_id: int = 731_000_000
    first_message_id: int = 1
    first_sequence: int = 1
    people: tuple[tuple[int, str], ...] = ()
    bot: JsonObject = field(
        default_factory=lambda: {
            "id": 4200,
            "is_bot": True,
            "first_name": "Agent",
            "username": BOT_USERNAME,
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
            "can_connect_to_business": False,
            "has_main_web_app": False,
        }
    )


class TelegramService:
    """The whole stand-in behind its HTTP routes."""

    def __init__(self, settings: Settings, effects: Effects) -> None:
        self.settings = settings
        self.account = Account(settings.bot, settings.first_message_id)
        self.journal = Journal(effects.now, settings.first_sequence)
        self.updates = UpdateQueue(settings.first_update_id)
        self.webhook = Webhook(self.updates, self.journal)
        self.faults = FaultBook(effects.now)
        self.limits = FloodLimits(effects.now, enabled=settings.flood_limits)
        self.sender = Sender(self.account, self.journal, effects)
        self.people = People(self.account, self.sender, self.updates, self.journal, effects)
        for user_id, name in settings.people:
            self.people.join(user_id, name)
        self.methods = Methods(self.account, self.sender, self.people, self.updates, self.webhook)

    async def call(self, token: str, name: str, values: JsonObject, uploads: Uploads) -> Answer:
        """Carry out one call of the bot and write it down.

        Raises:
            ConnectionResetError: a fault on order: nothing was done, the connection is to be reset.
        """
        started = time.monotonic()
        chat_id = _chat_of(values)
        fault = None
        try:
            if token != self.settings.token:
                raise ApiError(401)
            fault = self.faults.take(name, chat_id)
            if fault is not None and fault.kind == "reset":
                raise ConnectionResetError("a fault on order")
            answer = Answer(
                200, {"ok": True, "result": await self._run(name, values, uploads)}, fault
            )
        except ApiError as error:
            answer = Answer(error.code, error.body(), fault)
        self.journal.add(
            "call",
            chat_id,
            {
                "method": name,
                "parameters": {key: _short(value) for key, value in values.items()},
                "status": answer.status,
                "description": answer.body.get("description", ""),
                "seconds": time.monotonic() - started,
                "lost": fault is not None and fault.kind == "lost",
            },
        )
        return answer

    async def _run(self, name: str, values: JsonObject, uploads: Uploads) -> object:
        method = self.methods.find(name)
        params = read_params(method.params, values)
        chat_id = _chat_of(values)
        if method.paced and chat_id is not None:
            self.limits.count(chat_id)
        return await self.methods.call(method, params, uploads)


def _chat_of(values: JsonObject) -> int | None:
    value = str(values.get("chat_id", ""))
    return int(value) if value.lstrip("-").isdigit() else None


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONG_TEXT else f"{text[:LONG_TEXT]}… ({len(text)} characters)"
