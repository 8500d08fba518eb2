"""Lists, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVarTuple

from sqlalchemy import Row, Select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from orchestrator_api.paging import cursor_after, key_of

Ts = TypeVarTuple("Ts")


async def page_of(
    session: AsyncSession,
    query: Select[*Ts],
    column: InstrumentedAttribute[int] | InstrumentedAttribute[str],
    *,
    limit: int,
    cursor: str | None,
    kind: type[int] | type[str] = int,
    newest_first: bool = False,
) -> tuple[Sequence[Row[*Ts]], str | None]:
    """The query's rows behind the cursor, and the cursor behind them; None where none follow.

    They are in the order of `column`, a unique one (of `kind`) of the first thing that is selected.
    Raises ProblemError 422 for a cursor that is none.
    """
    key = key_of(cursor, kind)
    if key is not None:
        query = query.where(column < key[0] if newest_first else column > key[0])
    order = column.desc() if newest_first else column.asc()
    rows = (await session.execute(query.order_by(order).limit(limit + 1))).all()
    if len(rows) <= limit:
        return rows, None
    last: Any = rows[limit - 1]
    return rows[:limit], cursor_after(getattr(last[0], column.key))
