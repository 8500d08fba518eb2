"""Words to a caller's person: into the chat, or to whoever follows the session at a terminal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import structlog
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncSession

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.contract import Source
from agentsession_core.mailbox.events import EVENTS_KEPT
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import MailboxState
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.terminal import OPEN_SOURCES
from orchestrator_api import outbox
from orchestrator_api.callers import Caller

_log: Final = structlog.get_logger(__name__)


class Way(StrEnum):
    """How the person hears of it."""

    CHAT = "chat"
    TERMINAL = "terminal"


@dataclass(frozen=True)
class Ear:
    """Where a person can be told something."""

    way: Way
    mailbox: str
    chat: str = ""


async def ear_of(store: MailboxStore | None, caller: Caller) -> Ear | None:
    """Where the caller's person hears; None where nobody knows, or Redis is away."""
    if store is None:
        return None
    try:
        return find_ear(await store.state(caller.mailbox), caller)
    except RedisError as error:
        # What there is to tell is kept in the database, and must be kept now.
        _log.warning("nobody_told", error=type(error).__name__)
        return None


def find_ear(state: MailboxState, caller: Caller) -> Ear | None:
    """Where the person hears whose mailbox that is: where the running turn's messages came from, else
    where the newest chat message did."""
    if not caller.is_run and state.user != caller.user:
        return None
    if state.turn is not None and state.turn.source in OPEN_SOURCES:
        return Ear(Way.TERMINAL, caller.mailbox)
    if state.source is None:
        return None
    return Ear(Way.CHAT, caller.mailbox, state.chat or "")


def tell(session: AsyncSession, ear: Ear, now: datetime, identity: str, text: str) -> None:
    """Says it with the transaction, once per `identity`."""
    k = MailboxKeys(ear.mailbox)
    if ear.way is Way.TERMINAL:
        data = json.dumps({"id": identity, "text": text, "messages": []})
        event = {"turn": "", "seq": "0", "kind": "notice", "source": Source.TERMINAL, "data": data}
        outbox.put(session, now, k.events, event, limit=EVENTS_KEPT)
        return
    entry = {
        "id": identity,
        "kind": "notice",
        "reply_to": "[]",
        "chat": ear.chat,
        "turn": "",
        "outcome": "",
        "text": text,
        "at": f"{now.timestamp():.6f}",
    }
    outbox.put(session, now, k.outgoing, entry)
    outbox.put(session, now, keys.OUTGOING_READY, {"mailbox": ear.mailbox})
