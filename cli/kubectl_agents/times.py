"""Times as people read them. Pure functions; moments are aware, spans in seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

MINUTE, HOUR, DAY = 60, 3600, 86_400


def moment(value: Any) -> datetime | None:
    """A time of the API server's or of the gateway's (seconds); None if there is none."""
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC)
    try:
        return datetime.fromisoformat(str(value)) if value else None
    except ValueError:
        return None


def span(seconds: float) -> str:
    """A length of time in at most two units: `45s`, `4m10s`, `23h`, `3d4h`."""
    left = max(0, int(seconds))
    for unit, size, below, lower in (("d", DAY, HOUR, "h"), ("h", HOUR, MINUTE, "m")):
        if left >= size:
            rest = left % size // below
            return f"{left // size}{unit}" + (f"{rest}{lower}" if rest else "")
    if left >= MINUTE:
        rest = left % MINUTE
        return f"{left // MINUTE}m" + (f"{rest}s" if rest else "")
    return f"{left}s"


def until(when: datetime | None, now: datetime) -> str:
    """`in 4m10s (at 12:03:10 UTC)`, `now`, or `at no set time`."""
    if when is None:
        return "at no set time"
    left = (when - now).total_seconds()
    if left <= 0:
        return "now"
    clock = f"{when.astimezone(UTC):%H:%M:%S} UTC"
    day = "" if left < DAY else f"{when.astimezone(UTC):%Y-%m-%d} "
    return f"in {span(left)} (at {day}{clock})"


def ago(when: datetime | None, now: datetime) -> str:
    """`4m10s ago`, or a dash."""
    return "-" if when is None else f"{span((now - when).total_seconds())} ago"
