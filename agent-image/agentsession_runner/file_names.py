"""Names of files that strangers chose, made fit for a folder. Pure."""

from __future__ import annotations

import unicodedata
from typing import Final

NAME_BYTES: Final = 120
ENDING_BYTES: Final = 16
FALLBACK: Final = "file"
_KEPT: Final = frozenset("._-+@()")


def safe_name(name: str) -> str:
    """A name for one place in a folder: letters, digits and `._-+@()`, at most 120 bytes.

    Nothing of it leads elsewhere, hides the file, looks like an option, or reads in another direction
    than it is written.
    """
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rstrip("/").rpartition("/")[2]
    visible = (character for character in last if unicodedata.category(character)[0] != "C")
    fit = "".join(character if _is_kept(character) else "_" for character in visible)
    return _cut(fit.lstrip(".-_").rstrip(".")) or FALLBACK


def numbered(name: str, number: int) -> str:
    """The name for the `number`th file that has it; the first one keeps it."""
    if number == 1:
        return name
    stem, dot, ending = name.rpartition(".")
    return f"{stem}-{number}.{ending}" if dot and stem else f"{name}-{number}"


def megabytes(size: int) -> str:
    """A size for people, in Telegram's millions of bytes."""
    return f"{size / 1_000_000:.1f} MB"


def _is_kept(character: str) -> bool:
    return character in _KEPT or unicodedata.category(character)[0] in "LMN"


def _cut(name: str) -> str:
    if len(name.encode()) <= NAME_BYTES:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending.encode()) > ENDING_BYTES:
        stem, dot, ending = name, "", ""
    room = NAME_BYTES - len((dot + ending).encode())
    # A character that does not fit as a whole goes.
    return stem.encode()[:room].decode("utf-8", "ignore") + dot + ending
