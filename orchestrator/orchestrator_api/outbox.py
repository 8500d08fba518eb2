"""The transactional outbox: entries for Redis, written with the change that they speak of."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator_api.tables import OutboxEntry


def put(
    session: AsyncSession,
    now: datetime,
    stream: str,
    fields: Mapping[str, str],
    *,
    limit: int | None = None,
    key: str | None = None,
) -> None:
    """Adds an entry to the transaction; `limit` trims the stream to about so many entries.

    Entries of the same `key` (a UUID) are published once.
    """
    session.add(
        OutboxEntry(
            key=key or str(uuid.uuid4()),
            stream=stream,
            fields=dict(fields),
            limit=limit,
            created_at=now,
        )
    )
