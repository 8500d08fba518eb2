"""Buttons below messages. What a button says names no mailbox: that follows from where it stands."""

from __future__ import annotations

from typing import Final

from agentsession_bridge import texts
from agentsession_bridge.arrivals import Press, Stopped
from agentsession_bridge.live import LiveTurns
from agentsession_bridge.outbox import Entry
from agentsession_bridge.places import Place
from agentsession_bridge.replies import Replies
from agentsession_bridge.telegram_client import Button
from agentsession_core.mailbox.answers import CancelAnswer
from agentsession_core.mailbox.contract import Source
from agentsession_core.mailbox.decisions import Decisions
from agentsession_core.mailbox.notices import approval_notice, approval_of, end_of
from agentsession_core.mailbox.store import MailboxStore

STOP: Final = "stop"
KEEP: Final = "keep"
AGREE: Final = "agree"
REFUSE: Final = "refuse"


def buttons_of(entry: Entry) -> tuple[Button, ...]:
    """The buttons below an entry of the outbox."""
    if entry.kind != "notice":
        return ()
    approval = approval_of(entry.said)
    if approval is not None:
        return (
            Button(texts.AGREE_BUTTON, f"{AGREE}:{approval}"),
            Button(texts.REFUSE_BUTTON, f"{REFUSE}:{approval}"),
        )
    end = end_of(entry.said)
    return (Button(texts.KEEP_BUTTON, f"{KEEP}:{end}"),) if end is not None else ()


class Buttons:
    """Does what pressed buttons say: each once, and only while it means anything."""

    def __init__(
        self, store: MailboxStore, decisions: Decisions, replies: Replies, live: LiveTurns
    ) -> None:
        self._store = store
        self._decisions = decisions
        self._replies = replies
        self._live = live

    async def pressed(self, press: Press) -> None:
        """Obey a button.

        Raises:
            redis.RedisError: the press has to come again.
        """
        kind, _, value = press.data.partition(":")
        said = texts.BUTTON_OVER
        if kind == STOP and value:
            said = await self._stop(press.place, value)
        elif kind == KEEP and value.isdecimal():
            said = await self._keep(press.place, int(value))
        elif kind in (AGREE, REFUSE) and approval_of(approval_notice(value)):
            said = await self._decide(press, value, approved=kind == AGREE)
        self._replies.answer_press(press.query_id, said)
        self._replies.take_buttons(press.place, press.message_id)

    async def stopped(self, stopped: Stopped) -> None:
        """Obey the Stop button that Telegram shows at a draft.

        Raises:
            redis.RedisError: the press has to come again.
        """
        if self._live.draft_is(stopped.place, stopped.draft_id):
            await self._store.request_cancel(stopped.place.mailbox, by=Source.TELEGRAM)

    async def _stop(self, place: Place, turn: str) -> str:
        answer = await self._store.request_cancel(place.mailbox, turn=turn, by=Source.TELEGRAM)
        return texts.STOPPING if answer.answer is CancelAnswer.CANCELLED else texts.BUTTON_OVER

    async def _decide(self, press: Press, approval: str, *, approved: bool) -> str:
        # Whether it is this user's the orchestrator knows; it says in the chat what came of it.
        await self._decisions.decide(
            approval=approval,
            approved=approved,
            user=press.place.user,
            mailbox=press.place.mailbox if press.place.is_private else "",
            by=f"{Source.TELEGRAM}:{press.person.id}",
        )
        return texts.PASSED_ON

    async def _keep(self, place: Place, end: int) -> str:
        state = await self._store.state(place.mailbox)
        if state.warned != end or state.now >= end:
            return texts.BUTTON_OVER
        return texts.KEPT if await self._store.keep(place.mailbox) else texts.TOO_LATE
