"""Telegram's HTML style: text with tags becomes plain text with entities, or is refused.

The rules are those of https://core.telegram.org/bots/api#html-style. Offsets and lengths of
entities count UTF-16 code units.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from agentsession_dev.telegram_server.errors import ApiError, bad_request

_TYPES = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
    "code": "code",
    "pre": "pre",
    "a": "text_link",
    "blockquote": "blockquote",
}
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_TOKEN = re.compile(
    r"</(?P<end>[a-zA-Z-]+)\s*>"
    r"|<(?P<start>[a-zA-Z-]+)(?P<attributes>(?:\s+[a-zA-Z-]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'>]+))?)*)\s*>"
    r"|&(?P<name>lt|gt|amp|quot);"
    r"|&#(?P<hex>x[0-9a-fA-F]+|[0-9]+);"
    r"|(?P<wrong><)"
)
_ATTRIBUTE = re.compile(r"([a-zA-Z-]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+)))?")
_LANGUAGE = re.compile(r"language-(\S+)")


@dataclass(frozen=True)
class FormattedText:
    """What a person reads, and how it is set."""

    text: str
    entities: list[dict[str, Any]]


@dataclass
class _Open:
    tag: str
    offset: int
    attributes: dict[str, str]


@dataclass
class _Reader:
    source: str
    pieces: list[str] = field(default_factory=list)
    length: int = 0
    stack: list[_Open] = field(default_factory=list)
    entities: list[dict[str, Any]] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.pieces.append(text)
        self.length += utf16_length(text)

    def open(self, tag: str, attributes: str, at: int) -> None:
        if tag not in _TYPES:
            raise _cannot_parse(
                f'Unsupported start tag "{tag}" at byte offset {_bytes(self.source, at)}'
            )
        found = {
            name.lower(): one or two or three
            for name, one, two, three in _ATTRIBUTE.findall(attributes)
        }
        if tag == "span" and found.get("class") != "tg-spoiler":
            raise _cannot_parse(
                f'Tag "span" must have class "tg-spoiler" at byte offset {_bytes(self.source, at)}'
            )
        self.stack.append(_Open(tag, self.length, found))

    def close(self, tag: str, at: int) -> None:
        if not self.stack:
            raise _cannot_parse(f"Unexpected end tag at byte offset {_bytes(self.source, at)}")
        top = self.stack.pop()
        if top.tag != tag:
            raise _cannot_parse(
                f'Unmatched end tag at byte offset {_bytes(self.source, at)}, expected "</{top.tag}>", '
                f'found "</{tag}>"'
            )
        if self.length > top.offset:
            self.entities.append(self._entity(top))

    def _entity(self, top: _Open) -> dict[str, Any]:
        entity: dict[str, Any] = {
            "type": _TYPES[top.tag],
            "offset": top.offset,
            "length": self.length - top.offset,
        }
        if top.tag == "a":
            entity["url"] = top.attributes.get("href", "")
        if top.tag == "blockquote" and "expandable" in top.attributes:
            entity["type"] = "expandable_blockquote"
        language = _LANGUAGE.fullmatch(top.attributes.get("class", ""))
        if top.tag in ("pre", "code") and language:
            entity["language"] = language.group(1)
        return entity


def parse_html(source: str) -> FormattedText:
    """Return the text and its entities.

    Raises:
        ApiError: 400 "can't parse entities", with the place as a byte offset.
    """
    reader = _Reader(source)
    position = 0
    for token in _TOKEN.finditer(source):
        reader.add(source[position : token.start()])
        position = token.end()
        _read(reader, token)
    reader.add(source[position:])
    if reader.stack:
        raise _cannot_parse(
            f'Can\'t find end tag corresponding to start tag "{reader.stack[-1].tag}"'
        )
    entities = sorted(reader.entities, key=lambda entity: (entity["offset"], -entity["length"]))
    return FormattedText("".join(reader.pieces), entities)


def plain(text: str) -> FormattedText:
    """Return a text without any markup."""
    return FormattedText(text, [])


def utf16_length(text: str) -> int:
    """Return the length in UTF-16 code units, which is how Telegram counts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _read(reader: _Reader, token: re.Match[str]) -> None:
    if token["end"]:
        reader.close(token["end"].lower(), token.start())
    elif token["start"]:
        reader.open(token["start"].lower(), token["attributes"], token.start())
    elif token["name"]:
        reader.add(_NAMED[token["name"]])
    elif token["hex"]:
        reader.add(_character(token["hex"]))
    else:
        at = _bytes(reader.source, token.start())
        raise _cannot_parse(f"Unclosed start tag at byte offset {at}")


def _character(number: str) -> str:
    value = int(number[1:], 16) if number.startswith("x") else int(number)
    usable = 0 < value < 0x110000 and not 0xD800 <= value < 0xE000
    return chr(value) if usable else "\ufffd"


def _bytes(source: str, position: int) -> int:
    return len(source[:position].encode(errors="surrogatepass"))


def _cannot_parse(reason: str) -> ApiError:
    return bad_request(f"can't parse entities: {reason}")
