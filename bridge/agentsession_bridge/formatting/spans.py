"""Text with its styles: what Markdown becomes, and what is cut into messages.

A span is text under a stack of tags. Cutting a span leaves both halves under the same tags, so that
no cut can break markup.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

TagName = Literal["b", "i", "u", "s", "code", "pre", "a", "blockquote", "tg-spoiler"]


@dataclass(frozen=True)
class Tag:
    """One of Telegram's HTML tags; `value` is a link's address or a code block's language."""

    name: TagName
    value: str = ""

    @property
    def opening(self) -> str:
        """The start tag."""
        quoted = html.escape(self.value)
        if self.name == "a":
            return f'<a href="{quoted}">'
        if self.name == "pre" and self.value:
            return f'<pre><code class="language-{quoted}">'
        return f"<{self.name}>"

    @property
    def closing(self) -> str:
        """The end tag."""
        return "</code></pre>" if self.name == "pre" and self.value else f"</{self.name}>"


@dataclass(frozen=True)
class Span:
    """Text under tags, the outermost first."""

    text: str
    tags: tuple[Tag, ...] = ()


def utf16_length(text: str) -> int:
    """Return the length in UTF-16 code units: Telegram counts those."""
    return len(text) + sum(character > "\uffff" for character in text)


def to_html(spans: Iterable[Span]) -> str:
    """Return Telegram's HTML; neighbours under the same tags share them."""
    pieces: list[str] = []
    open_tags: tuple[Tag, ...] = ()
    for span in spans:
        if not span.text:
            continue
        kept = _common(open_tags, span.tags)
        pieces += [tag.closing for tag in reversed(open_tags[kept:])]
        pieces += [tag.opening for tag in span.tags[kept:]]
        pieces.append(html.escape(span.text, quote=False))
        open_tags = span.tags
    pieces += [tag.closing for tag in reversed(open_tags)]
    return "".join(pieces)


def to_text(spans: Iterable[Span]) -> str:
    """Return the text alone: what is sent when Telegram refuses the markup."""
    return "".join(span.text for span in spans)


def stripped(spans: Iterable[Span]) -> list[Span]:
    """Return the spans without blank lines before and after them."""
    kept = [span for span in spans if span.text]
    while kept and not kept[0].text.strip("\n"):
        kept.pop(0)
    while kept and not kept[-1].text.strip():
        kept.pop()
    if kept:
        kept[0] = Span(kept[0].text.lstrip("\n"), kept[0].tags)
        kept[-1] = Span(kept[-1].text.rstrip(), kept[-1].tags)
    return kept


def _common(one: tuple[Tag, ...], other: tuple[Tag, ...]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
