"""Cursors: where a list goes on, opaque to callers. Pure functions."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Final

from fastapi import Query

from agentsession_core.problems import ProblemError

LIMIT: Final = 50
LONGEST: Final = 200
# Beyond it JSON's readers disagree about a number, and a database has none.
LARGEST: Final = 2**53

Limit = Annotated[int, Query(ge=1, le=LONGEST, description="How many at most.")]
Cursor = Annotated[
    str | None, Query(max_length=512, description="`next_cursor` of the page before.")
]


def cursor_after(*key: int | str) -> str:
    """The cursor that stands after a row with that key."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def key_of(cursor: str | None, *kinds: type[int] | type[str]) -> tuple[int | str, ...] | None:
    """The key in a cursor, or None where the list begins. Raises ProblemError 422."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        key = None
    if not isinstance(key, list) or [type(part) for part in key] != list(kinds):
        raise cursor_invalid()
    if not all(abs(part) <= LARGEST if isinstance(part, int) else part.isalnum() for part in key):
        raise cursor_invalid()
    return tuple(key)


def cursor_invalid() -> ProblemError:
    """The refusal of a cursor that this API has not given out."""
    return ProblemError(422, "cursor_invalid", "use next_cursor of the page before, unchanged")
