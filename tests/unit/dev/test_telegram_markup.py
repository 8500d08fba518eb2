"""Telegram's HTML style as the stand-in reads it."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_dev.telegram_server.errors import ApiError
from agentsession_dev.telegram_server.markup import parse_html, utf16_length


@pytest.mark.parametrize(
    ("source", "text", "entities"),
    [
        ("plain", "plain", []),
        ("1 &lt; 2 &amp;&amp; &quot;x&quot; &#33; &#x41;", '1 < 2 && "x" ! A', []),
        ("a & b", "a & b", []),
        ("<b>bold</b>", "bold", [("bold", 0, 4)]),
        ("<B>bold</B >", "bold", [("bold", 0, 4)]),
        ("<b>a<i>b</i></b>", "ab", [("bold", 0, 2), ("italic", 1, 1)]),
        ("😀<code>x</code>", "😀x", [("code", 2, 1)]),
        ("<b></b>", "", []),
        ('<span class="tg-spoiler">s</span>', "s", [("spoiler", 0, 1)]),
        ("<blockquote expandable>q</blockquote>", "q", [("expandable_blockquote", 0, 1)]),
    ],
)
def test_text_and_entities(source: str, text: str, entities: list[tuple[str, int, int]]) -> None:
    found = parse_html(source)
    assert found.text == text
    assert [(e["type"], e["offset"], e["length"]) for e in found.entities] == entities


def test_a_link_and_a_language_are_kept() -> None:
    found = parse_html(
        '<a href="https://a.example/?x=1">l</a><pre><code class="language-py">p</code></pre>'
    )
    assert found.entities[0] == {
        "type": "text_link",
        "offset": 0,
        "length": 1,
        "url": "https://a.example/?x=1",
    }
    assert {e.get("language") for e in found.entities} == {None, "py"}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("a <b>", 'Can\'t find end tag corresponding to start tag "b"'),
        ("<b>x</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        ("é</b>", "Unexpected end tag at byte offset 2"),
        ("<table>x</table>", 'Unsupported start tag "table" at byte offset 0'),
        ("1 < 2", "Unclosed start tag at byte offset 2"),
        ('<span class="x">y</span>', 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
    ],
)
def test_wrong_markup_is_refused_with_its_place(source: str, reason: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_html(source)
    assert refused.value.description == f"Bad Request: can't parse entities: {reason}"


@given(st.text())
def test_an_escaped_text_comes_out_as_it_was(text: str) -> None:
    found = parse_html(html.escape(text, quote=False))
    assert found.text == text
    assert found.entities == []


def test_lengths_count_utf16_units() -> None:
    assert [utf16_length(text) for text in ("a", "é", "😀", "👨‍💻")] == [1, 1, 2, 5]
