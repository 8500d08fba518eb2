"""Ids of notices that others know again."""

from __future__ import annotations

import re
from typing import Final

_APPROVAL: Final = re.compile(r"approval\.([0-9a-f]{12})")
_END: Final = re.compile(r"end\..+\.(\d{1,12})")


def end_notice(session_uid: str, end: int) -> str:
    """The id of the word that a session is to be deleted at `end` (whole seconds since the epoch)."""
    return f"end.{session_uid}.{end}"


def end_of(notice: str) -> int | None:
    """The end that a notice tells of; None for any other notice."""
    found = _END.fullmatch(notice)
    return int(found[1]) if found else None


def approval_notice(approval: str) -> str:
    """The id of the question whether an agent may do something."""
    return f"approval.{approval}"


def approval_of(notice: str) -> str | None:
    """The approval that a notice asks for; None for any other notice."""
    found = _APPROVAL.fullmatch(notice)
    return found[1] if found else None
