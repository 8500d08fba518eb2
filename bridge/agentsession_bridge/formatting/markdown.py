"""Markdown as agents write it, read into spans."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from agentsession_bridge.formatting import tables
from agentsession_bridge.formatting.spans import Span, Tag

_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
_STYLES = {"strong": Tag("b"), "em": Tag("i"), "s": Tag("s")}
_SCHEMES = frozenset({"http", "https", "tg", "mailto"})
_QUOTE = Tag("blockquote")
_BULLET = "• "
_INDENT = "   "


def read_markdown(source: str) -> list[Span]:
    """Return what a person reads, with its styles. Anything is Markdown: nothing is refused."""
    writer = _Writer()
    for token in _PARSER.parse(source):
        writer.block(token)
    return writer.spans


@dataclass
class _List:
    """A list that is open; `number` is the next item's, None for bullets."""

    number: int | None
    tight: bool = True


@dataclass
class _Writer:
    spans: list[Span] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)
    lists: list[_List] = field(default_factory=list)
    rows: list[list[str]] | None = None
    item_starts: bool = False
    quotes: int = 0

    def add(self, text: str, *more: Tag) -> None:
        if text:
            self.spans.append(Span(text, (*self.tags, *more)))

    def block(self, token: Token) -> None:
        kind = token.type.removesuffix("_open").removesuffix("_close")
        if token.type == "inline":
            self._inline_block(token)
        elif kind in ("fence", "code_block"):
            self._code(token)
        elif kind in ("html_block", "hr"):
            self._paragraph_start()
            self.add("———" if kind == "hr" else token.content.rstrip("\n"))
            self._paragraph_end()
        elif kind in ("bullet_list", "ordered_list"):
            self._list(token)
        elif kind in ("table", "tr"):
            self._table(token, kind)
        else:
            self._flow(token, kind)

    def _flow(self, token: Token, kind: str) -> None:
        opens = token.nesting == 1
        if kind == "list_item" and opens:
            self._item()
        elif kind == "blockquote":
            self._quote(opens)
        elif kind == "heading":
            self._styled(opens, Tag("b"))
        elif kind == "paragraph":
            self._paragraph_start() if opens else self._paragraph_end(tight=token.hidden)

    def _styled(self, opens: bool, tag: Tag) -> None:
        if opens:
            self._paragraph_start()
            self.tags.append(tag)
        else:
            self.tags.pop()
            self._paragraph_end()

    def _quote(self, opens: bool) -> None:
        # Telegram refuses a quotation inside of a quotation: the inner one is text of the outer.
        self.quotes += 1 if opens else -1
        if opens and self.quotes == 1:
            self._paragraph_start()
            self.tags.append(_QUOTE)
        elif not opens and self.quotes == 0:
            self._trim_end()
            self.tags.remove(_QUOTE)
            self.add("\n\n")

    def _list(self, token: Token) -> None:
        if token.nesting == 1:
            start = int(token.attrs.get("start", 1)) if token.type.startswith("ordered") else None
            if not self.lists:
                self._paragraph_start()
            else:
                self._line_end()
            self.lists.append(_List(start))
        else:
            self.lists.pop()
            if not self.lists:
                self._trim_end()
                self.add("\n\n")

    def _item(self) -> None:
        top = self.lists[-1]
        self._line_end()
        mark = _BULLET if top.number is None else f"{top.number}. "
        if top.number is not None:
            top.number += 1
        self.add(_INDENT * (len(self.lists) - 1) + mark)
        self.item_starts = True

    def _code(self, token: Token) -> None:
        self.item_starts = False
        self._line_end()
        language = token.info.split()[0] if token.info.split() else ""
        quotes = [_QUOTE] if self.quotes else []
        code = token.content.removesuffix("\n")
        if code:
            self.spans.append(Span(code, (*quotes, Tag("pre", language))))
        self._paragraph_end()

    def _table(self, token: Token, kind: str) -> None:
        if kind == "tr" and token.nesting == 1 and self.rows is not None:
            self.rows.append([])
        elif kind == "table" and token.nesting == 1:
            self._paragraph_start()
            self.rows = []
        elif kind == "table" and self.rows is not None:
            self.spans.append(Span(tables.draw(self.rows), (Tag("pre"),)))
            self.rows = None
            self._paragraph_end()

    def _inline_block(self, token: Token) -> None:
        children = token.children or []
        if self.rows is not None:
            self.rows[-1].append("".join(child.content for child in children))
            return
        for child in children:
            self._inline(child)

    def _inline(self, token: Token) -> None:
        kind = token.type.removesuffix("_open").removesuffix("_close")
        if kind in ("softbreak", "hardbreak"):
            self.add("\n" + _INDENT * len(self.lists))
        elif kind == "code_inline":
            # Telegram refuses styles inside of code; a link around it may stay.
            self.spans.append(Span(token.content, (*self._links_and_quotes(), Tag("code"))))
        elif kind in _STYLES:
            self._toggle(token, _STYLES[kind])
        elif kind == "link":
            self._toggle(token, Tag("a", str(token.attrs.get("href", ""))))
        elif kind == "image":
            address = str(token.attrs.get("src", ""))
            text = token.content or address
            self.add(text, Tag("a", address)) if _is_link(address) else self.add(text)
        else:
            self.add(token.content)

    def _toggle(self, token: Token, tag: Tag) -> None:
        if token.nesting == 1:
            self.tags.append(tag)
        else:
            tag = self.tags.pop()
            if tag.name == "a" and not _is_link(tag.value):
                self.spans = [_without(span, tag) for span in self.spans]

    def _links_and_quotes(self) -> list[Tag]:
        return [tag for tag in self.tags if tag.name in ("a", "blockquote")]

    def _paragraph_start(self) -> None:
        if self.item_starts:
            self.item_starts = False
        elif self.lists:
            self._line_end()
            self.add(_INDENT * len(self.lists))

    def _paragraph_end(self, *, tight: bool = False) -> None:
        self.add("\n" if tight or self.lists else "\n\n")

    def _line_end(self) -> None:
        text = self.spans[-1].text if self.spans else "\n"
        if not text.endswith("\n"):
            self.add("\n")

    def _trim_end(self) -> None:
        while self.spans and not self.spans[-1].text.strip("\n"):
            self.spans.pop()


def _is_link(address: str) -> bool:
    try:
        return urlsplit(address).scheme in _SCHEMES
    except ValueError:
        return False


def _without(span: Span, tag: Tag) -> Span:
    return Span(span.text, tuple(kept for kept in span.tags if kept != tag))
