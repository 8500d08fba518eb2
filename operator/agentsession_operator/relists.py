"""When a watch has begun anew with a list: what was deleted before that is never told. Pure."""

from __future__ import annotations

from typing import Final

# As many of a kind would have to go in one cut for it to be overlooked, and in every kind.
WITNESSES: Final = 8


class Relists:
    """Knows a later list of a kind from its first: objects come again that were there before."""

    def __init__(self) -> None:
        self._witnesses: dict[tuple[str, str], set[str]] = {}

    def saw(self, kind: str, namespace: str, uid: str, *, listed: bool, deleted: bool) -> bool:
        """Takes one event; whether it is of a list that is not the kind's first."""
        known = self._witnesses.setdefault((kind, namespace), set())
        repeated = listed and uid in known
        if deleted:
            known.discard(uid)
        elif len(known) < WITNESSES:
            known.add(uid)
        return repeated
