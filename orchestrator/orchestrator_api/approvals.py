"""An agent's wishes that wait for their person: asked once, bound to the exact arguments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from agentsession_core.mailbox.events import EVENTS_KEPT
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.notices import approval_notice
from agentsession_core.problems import ProblemError
from orchestrator_api import outbox
from orchestrator_api.callers import Caller
from orchestrator_api.tables import Approval
from orchestrator_api.telling import Ear, tell

VALID: Final = timedelta(minutes=15)
# Whoever is asked without end agrees to something in the end.
UNANSWERED_AT_ONCE: Final = 10
PENDING: Final = "pending"
APPROVED: Final = "approved"
DENIED: Final = "denied"
USED: Final = "used"


def fingerprint(operation: str, arguments: Mapping[str, Any]) -> str:
    """The same for the same arguments of the same operation only."""
    said = json.dumps([operation, dict(arguments)], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


@dataclass(frozen=True)
class Wish:
    """What an agent wants to do: to the last argument, and in a person's words.

    The words count, too: what they name may have become another thing since they were read.
    """

    operation: str
    summary: str
    arguments: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """The same for the same arguments and words only."""
        return fingerprint(self.operation, {**self.arguments, "summary": self.summary})


class ApprovalNeeded(Exception):  # noqa: N818 - no error: the call waits
    """The person has not agreed to this yet."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(wish.summary)
        self.wish = wish


async def claim(session: AsyncSession, caller: Caller, wish: Wish, now: datetime) -> str:
    """Uses up the person's agreement, in the transaction of what it agreed to; answers its id.

    Raises ApprovalNeeded where there is none.
    """
    used: str | None = await session.scalar(
        update(Approval)
        .where(
            Approval.user_id == caller.user,
            Approval.arguments_sha256 == wish.sha256,
            Approval.closed_at.is_(None),
            Approval.state == APPROVED,
            Approval.expires_at > now,
        )
        .values(state=USED, closed_at=now)
        .returning(Approval.id)
    )
    if used is None:
        raise ApprovalNeeded(wish)
    return used


async def ask(
    session: AsyncSession, caller: Caller, wish: Wish, now: datetime, new_id: str, ear: Ear | None
) -> ProblemError:
    """Asks the person unless that was done for the same arguments; what the agent is to be told.

    `ear` is where the person is asked; in their list of approvals it stands in any case.
    """
    await session.execute(
        update(Approval)
        .where(
            Approval.user_id == caller.user,
            Approval.arguments_sha256 == wish.sha256,
            Approval.closed_at.is_(None),
            Approval.expires_at <= now,
        )
        .values(closed_at=now)
    )
    known = await _open(session, caller, wish)
    if known is None and await _unanswered(session, caller, now) >= UNANSWERED_AT_ONCE:
        return ProblemError(
            403,
            "too_many_approvals",
            f"the person has not agreed to {UNANSWERED_AT_ONCE} things that they were asked in the "
            "last 15 minutes; ask no more, and end your turn",
        )
    if known is None:
        known = Approval(
            id=new_id,
            user_id=caller.user,
            operation=wish.operation,
            summary=wish.summary,
            arguments=dict(wish.arguments),
            arguments_sha256=wish.sha256,
            requested_by=caller.actor,
            mailbox=caller.mailbox,
            state=PENDING,
            created_at=now,
            expires_at=now + VALID,
        )
        session.add(known)
        _tell(session, known, now)
        if ear is not None:
            tell(session, ear, now, approval_notice(known.id), _words(known))
        await session.flush()
    return _answer(known)


def decide(row: Approval, state: str, by: str, now: datetime) -> None:
    """APPROVED or DENIED, by somebody who may; the same again changes nothing. The row must be locked.

    Raises ProblemError 409 when it is over or was decided otherwise.
    """
    if row.expires_at <= now:
        raise ProblemError(
            409, "approval_expired", "it is older than 15 minutes; the agent has to ask again"
        )
    if row.state not in (PENDING, state):
        raise ProblemError(409, "approval_decided", f"it is {row.state} already")
    if row.state == PENDING:
        row.state, row.decided_at, row.decided_by = state, now, by


async def _open(session: AsyncSession, caller: Caller, wish: Wish) -> Approval | None:
    return await session.scalar(
        select(Approval).where(
            Approval.user_id == caller.user,
            Approval.arguments_sha256 == wish.sha256,
            Approval.closed_at.is_(None),
        )
    )


async def _unanswered(session: AsyncSession, caller: Caller, now: datetime) -> int:
    found = await session.scalar(
        select(func.count()).where(
            Approval.user_id == caller.user,
            Approval.state.in_((PENDING, DENIED)),
            Approval.expires_at > now,
        )
    )
    return found or 0


def _words(approval: Approval) -> str:
    return (
        f"Your agent asks whether it may {approval.summary}.\nUntil {approval.expires_at:%H:%M} UTC:\n"
        f"orchestrator approvals approve {approval.id}\norchestrator approvals deny {approval.id}"
    )


def _tell(session: AsyncSession, approval: Approval, now: datetime) -> None:
    event = {"approval": approval.id, "summary": approval.summary, "state": approval.state}
    outbox.put(
        session,
        now,
        MailboxKeys(approval.mailbox).events,
        {"turn": "", "seq": "0", "kind": "state", "source": "api", "data": json.dumps(event)},
        limit=EVENTS_KEPT,
    )


def _answer(approval: Approval) -> ProblemError:
    about = {
        "id": approval.id,
        "state": approval.state,
        "summary": approval.summary,
        "expires_at": approval.expires_at.isoformat(),
    }
    if approval.state == DENIED:
        return ProblemError(
            403,
            "approval_denied",
            f"the person said no to: {approval.summary}. Do not ask again; ask them what to do",
            members={"approval": about},
        )
    return ProblemError(
        403,
        "approval_required",
        f"the person must agree to: {approval.summary}. They were asked once (approval "
        f"{approval.id}); the same call works for 15 minutes after they were asked, once they agree",
        members={"approval": about},
    )
