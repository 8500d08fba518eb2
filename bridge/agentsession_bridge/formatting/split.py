"""Cuts spans into messages of a length that Telegram takes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from agentsession_bridge.formatting.spans import Span, stripped, utf16_length

# Where to cut, the best place first; a place in the first half of a message wastes too much of it.
_BREAKS = ("\n\n", "\n", " ")
_JOINER = "\u200d"


def split(spans: Iterable[Span], limit: int) -> list[list[Span]]:
    """Return the spans in messages of at most `limit` UTF-16 units, cut at blank lines where possible.

    White space at a cut is dropped outside of code; nothing else is.
    """
    messages: list[list[Span]] = []
    rest = stripped(spans)
    while rest:
        head, rest = _cut(rest, limit)
        head = stripped(head)
        if head:
            messages.append(head)
        rest = stripped(rest)
    return messages


def _cut(spans: list[Span], limit: int) -> tuple[list[Span], list[Span]]:
    text = "".join(span.text for span in spans)
    fitting = _fitting(text, limit)
    if fitting == len(text):
        return spans, []
    return _divide(spans, _best_break(text, fitting))


def _fitting(text: str, limit: int) -> int:
    """Return how many characters of a text have at most `limit` units."""
    if len(text) * 2 <= limit or utf16_length(text) <= limit:
        return len(text)
    units = 0
    for position, character in enumerate(text):
        units += utf16_length(character)
        if units > limit:
            return position
    return len(text)


def _best_break(text: str, fitting: int) -> int:
    for mark in _BREAKS:
        found = text.rfind(mark, fitting // 2, fitting + 1)
        if found > 0:
            return found
    return _between_characters(text, fitting)


def _between_characters(text: str, position: int) -> int:
    """Move a cut back to where no visible character is torn into pieces."""
    cut = position
    while cut > 1 and _continues(text, cut):
        cut -= 1
    return cut if cut > 1 else position


def _continues(text: str, position: int) -> bool:
    here, before = text[position], text[position - 1]
    return (
        unicodedata.category(here) in ("Mn", "Me", "Mc")
        or _JOINER in (here, before)
        or "\U0001f3fb" <= here <= "\U0001f3ff"
        or (_is_flag(here) and _is_flag(before) and _flags_before(text, position) % 2 == 1)
    )


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flags_before(text: str, position: int) -> int:
    start = position
    while start > 0 and _is_flag(text[start - 1]):
        start -= 1
    return position - start


def _divide(spans: list[Span], position: int) -> tuple[list[Span], list[Span]]:
    head: list[Span] = []
    for index, span in enumerate(spans):
        if position < len(span.text):
            first, second = span.text[:position], span.text[position:]
            return [*head, Span(first, span.tags)], [Span(second, span.tags), *spans[index + 1 :]]
        head.append(span)
        position -= len(span.text)
    return head, []
