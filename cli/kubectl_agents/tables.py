"""`kubectl agents list` as a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from kubectl_agents.times import ago, moment, span
from kubectl_agents.why import condition

COLUMNS: Final = ("NAME", "USER", "PHASE", "WHY", "ACTIVITY", "SLEEPS", "DELETED", "TURNS")


def rows(sessions: Sequence[Mapping[str, Any]], now: datetime) -> list[tuple[str, ...]]:
    """One row a session, as COLUMNS."""
    return [_row(session, now) for session in sessions]


def render(table: Sequence[Sequence[str]]) -> str:
    """The table with its head, in columns, as kubectl prints one."""
    lines = [COLUMNS, *table]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def summary(session: Mapping[str, Any]) -> dict[str, Any]:
    """What `--json` says of a session."""
    metadata, spec = session.get("metadata") or {}, session.get("spec") or {}
    status = session.get("status") or {}
    return {
        "name": metadata.get("name"),
        "namespace": metadata.get("namespace"),
        "user": (spec.get("user") or {}).get("id"),
        "phase": status.get("phase"),
        "reason": _reason(session),
        "lastActivityTime": status.get("lastActivityTime"),
        "suspendTime": status.get("suspendTime"),
        "expirationTime": status.get("expirationTime"),
        "turns": (status.get("usage") or {}).get("turns", 0),
    }


def _row(session: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    told = summary(session)
    return (
        str(told["name"]),
        str(told["user"] or "-"),
        str(told["phase"] or "-"),
        str(told["reason"] or "-"),
        ago(moment(told["lastActivityTime"]), now),
        _ahead(moment(told["suspendTime"]), now),
        _ahead(moment(told["expirationTime"]), now),
        str(told["turns"]),
    )


def _ahead(when: datetime | None, now: datetime) -> str:
    if when is None:
        return "-"
    left = (when - now).total_seconds()
    return f"in {span(left)}" if left > 0 else "now"


def _reason(session: Mapping[str, Any]) -> str:
    """The reason that says most: trouble first, then why it sleeps."""
    for kind, status in (
        ("Accepted", "False"),
        ("Degraded", "True"),
        ("Suspended", "True"),
        ("Active", "True"),
        ("Ready", "False"),
        ("Ready", "True"),
    ):
        found = condition(session, kind)
        if found.get("status") == status:
            return str(found.get("reason") or "")
    return ""
