"""The audit log: who changed what, written with the change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator_api.callers import Caller
from orchestrator_api.tables import AuditEntry


def note(
    session: AsyncSession,
    caller: Caller,
    now: datetime,
    *,
    action: str,
    target: str,
    request_id: str,
    detail: Mapping[str, Any],
) -> None:
    """Adds an entry to the transaction. `detail` must hold no secret."""
    session.add(
        AuditEntry(
            at=now,
            user_id=caller.user,
            actor=caller.actor,
            action=action,
            target=target,
            request_id=request_id,
            detail=dict(detail),
        )
    )
