"""Tables as monospaced text: Telegram has none of its own."""

from __future__ import annotations

from collections.abc import Sequence

from wcwidth import wcswidth


def draw(rows: Sequence[Sequence[str]]) -> str:
    """Return a table with its first row as head, columns aligned on a screen's cells."""
    count = max((len(row) for row in rows), default=0)
    padded = [[*row, *[""] * (count - len(row))] for row in rows]
    widths = [max(_width(row[column]) for row in padded) for column in range(count)]
    lines = [_line(row, widths) for row in padded]
    rule = "─┼─".join("─" * width for width in widths)
    return "\n".join([*lines[:1], rule, *lines[1:]])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
    return " │ ".join(cells).rstrip()


def _width(text: str) -> int:
    # -1: the text holds a control character, whose width nobody knows.
    width = wcswidth(text)
    return width if width >= 0 else len(text)
