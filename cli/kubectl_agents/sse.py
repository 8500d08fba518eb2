"""Server-sent events out of lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """One event."""

    id: str
    name: str
    data: str


def frames(lines: Iterable[str]) -> Iterator[Frame]:
    """The events; comments are passed over, one that is cut off at the end is dropped."""
    entry_id, name, data = "", "", list[str]()
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Frame(entry_id, name, "\n".join(data))
            name, data = "", []
        elif field == "id":
            entry_id = value
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
