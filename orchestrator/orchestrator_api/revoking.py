"""Revoking tokens: with a token go those that were made with it, or whoever found it would stay."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from agentsession_core.problems import ProblemError
from orchestrator_api.callers import Caller, actor_of_token
from orchestrator_api.tables import ApiToken


async def require_valid(session: AsyncSession, caller: Caller) -> None:
    """For who makes a token: keeps the caller's own from being revoked until the transaction's end.

    Raises ProblemError 401 where it was revoked since the call began.
    """
    own = await session.scalar(
        select(ApiToken).where(ApiToken.id == caller.token_id).with_for_update()
    )
    if own is None or own.revoked_at is not None:
        raise ProblemError(401, "token_revoked", "the API token was revoked in this moment")


async def revoke(session: AsyncSession, row: ApiToken, now: datetime) -> None:
    """Revokes one token; what was revoked stays revoked since then."""
    row.revoked_at = row.revoked_at or now
    await session.flush()


async def revoke_made(
    session: AsyncSession, row: ApiToken, caller: Caller, now: datetime
) -> Sequence[ApiToken]:
    """Revokes what was made with the token, and with that, whosever it is; answers those.

    The token must be locked. Raises ProblemError 409 where the caller's own is among them.
    """
    found: list[ApiToken] = []
    makers = [row.id]
    while makers:
        # Whoever makes one now has its maker locked, and is waited for: none slips through.
        query = (
            select(ApiToken)
            .where(ApiToken.created_by.in_([actor_of_token(maker) for maker in makers]))
            .order_by(ApiToken.id)
            .with_for_update()
        )
        made = (await session.scalars(query)).all()
        found += [one for one in made if one.revoked_at is None]
        makers = [one.id for one in made]
    if any(one.id == caller.token_id for one in found):
        raise ProblemError(
            409,
            "own_token_made_with_it",
            "the token that you call with was made with it and would go, too; keep what was made with "
            "it (keep_made), or revoke it with another token",
        )
    for one in found:
        await revoke(session, one, now)
    return found
