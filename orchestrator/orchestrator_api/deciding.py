"""Carries out what people decide in their chats, and tells them what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from agentsession_core.mailbox.connect import BLOCK_SECONDS
from agentsession_core.mailbox.decisions import Decision, Decisions
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.problems import ProblemError
from orchestrator_api import approvals, audit
from orchestrator_api.callers import Caller, chat_caller
from orchestrator_api.database import Database
from orchestrator_api.tables import Approval
from orchestrator_api.telling import ear_of, tell

RETRY_SECONDS: Final = 1.0
_log = structlog.get_logger(__name__)


class Decider:
    """Reads decisions and carries them out. `committed` is told when something waits in the outbox."""

    def __init__(
        self,
        database: Database,
        decisions: Decisions,
        store: MailboxStore,
        now: Callable[[], datetime],
        committed: Callable[[], None],
    ) -> None:
        self._database = database
        self._decisions = decisions
        self._store = store
        self._now = now
        self._committed = committed

    async def run(self) -> None:
        """Carries out for ever."""
        while True:
            try:
                await self.carry_out(BLOCK_SECONDS)
            except (RedisError, SQLAlchemyError, OSError) as error:
                _log.warning("decisions_wait", error=type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    async def carry_out(self, block_seconds: float) -> None:
        """Carries out what waits."""
        for decision in await self._decisions.waiting(block_seconds):
            await self._one(decision)
            await self._decisions.done(decision)

    async def _one(self, decision: Decision) -> None:
        async with self._database.reading() as session:
            known = await session.get(Approval, decision.approval)
        if known is None or not _is_theirs(known, decision):
            _log.warning("decision_of_nobody", approval=decision.approval, by=decision.by)
            return
        caller = chat_caller(known.user_id, known.mailbox, decision.by)
        ear = await ear_of(self._store, caller)
        async with self._database.writing() as session:
            row = await session.get_one(Approval, known.id, with_for_update=True)
            before = row.state
            words = _decide(row, decision, caller, self._now())
            if row.state != before:
                audit.note(
                    session,
                    caller,
                    self._now(),
                    action="approval.approve" if decision.approved else "approval.deny",
                    target=f"approval/{row.id}",
                    request_id=f"decision.{decision.entry}",
                    detail={"operation": row.operation, "arguments": row.arguments},
                )
            if ear is not None:
                tell(session, ear, self._now(), f"decided.{row.id}.{decision.entry}", words)
        self._committed()


def _is_theirs(row: Approval, decision: Decision) -> bool:
    """Whose chat it was says the bridge. A person's own chat may be the mailbox of a session that has
    another name for them; what a group's people say is never a word of one of them."""
    own = bool(decision.mailbox) and row.mailbox == decision.mailbox
    return own or row.user_id == decision.user


def _decide(row: Approval, decision: Decision, caller: Caller, now: datetime) -> str:
    """Decides; the words for the person."""
    wanted = approvals.APPROVED if decision.approved else approvals.DENIED
    try:
        approvals.decide(row, wanted, caller.actor, now)
    except ProblemError as problem:
        return f"Not decided: {row.summary}. {problem.detail[:1].upper()}{problem.detail[1:]}."
    if decision.approved:
        return (
            f"Agreed: {row.summary}. Your agent may do it once until {row.expires_at:%H:%M} UTC; "
            "tell it to go on."
        )
    return f"Refused: {row.summary}."
