"""Idempotency keys: what was answered to a request that may be sent again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from agentsession_core.problems import ProblemError
from orchestrator_api.tables import IdempotencyKey

# As long as a client may still send the same request again.
KEYS_KEPT: Final = timedelta(hours=24)
UNANSWERED: Final = 0


@dataclass(frozen=True)
class Keyed:
    """A user's key, and the fingerprint of the request that came with it."""

    user: str
    key: str
    sha256: str


async def answered(session: AsyncSession, keyed: Keyed, now: datetime) -> Response | None:
    """What was answered before; else the key is taken, and whoever comes with it now waits.

    A request that has taken its key in an earlier transaction and was not answered goes on. Raises
    ProblemError 409 where the key belongs to another request, IntegrityError where it was taken in this
    moment.
    """
    row = await session.get(IdempotencyKey, (keyed.user, keyed.key), with_for_update=True)
    if row is not None and now - row.created_at >= KEYS_KEPT:
        await session.delete(row)
        await session.flush()
        row = None
    if row is None:
        await _take(session, keyed, now)
        return None
    if row.sha256 != keyed.sha256:
        raise ProblemError(
            409,
            "idempotency_key_reused",
            "the idempotency key belongs to another request; use a new one",
        )
    if row.status == UNANSWERED:
        return None
    return Response(
        row.body or None,
        row.status,
        {**row.headers, "idempotent-replay": "true"},
        media_type="application/json",
    )


async def remember(session: AsyncSession, keyed: Keyed, response: Response) -> None:
    """Keeps the answer of the request that has taken the key."""
    row = await session.get_one(IdempotencyKey, (keyed.user, keyed.key))
    etag = response.headers.get("etag")
    row.status = response.status_code
    row.body = bytes(response.body).decode()
    row.headers = {} if etag is None else {"etag": etag}


async def forget(session: AsyncSession, now: datetime) -> None:
    """Removes the keys that nobody can come with any more."""
    over = IdempotencyKey.created_at <= now - KEYS_KEPT
    await session.execute(delete(IdempotencyKey).where(over))


async def _take(session: AsyncSession, keyed: Keyed, now: datetime) -> None:
    session.add(
        IdempotencyKey(
            user_id=keyed.user,
            key=keyed.key,
            sha256=keyed.sha256,
            status=UNANSWERED,
            body="",
            headers={},
            created_at=now,
        )
    )
    await session.flush()
