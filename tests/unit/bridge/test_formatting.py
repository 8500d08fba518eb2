"""An agent's Markdown as Telegram messages, read back by the strict stand-in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_bridge.formatting import format_answer
from agentsession_bridge.formatting.markdown import read_markdown
from agentsession_bridge.formatting.messages import MESSAGE_UNITS, MOST_MESSAGES
from agentsession_bridge.formatting.spans import to_html, to_text
from agentsession_bridge.formatting.split import split
from agentsession_dev.telegram_server.markup import parse_html, utf16_length


def only(markdown: str) -> str:
    (message,) = format_answer(markdown).messages
    return message.html


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("a **b** *i* ~~s~~", "a <b>b</b> <i>i</i> <s>s</s>"),
        ("**b *bi***", "<b>b <i>bi</i></b>"),
        ("1 < 2 & `x<y`", "1 &lt; 2 &amp; <code>x&lt;y</code>"),
        ("**`code` in bold**", "<code>code</code><b> in bold</b>"),
        ("# Head\ntext", "<b>Head</b>\n\ntext"),
        ("one\ntwo  \nthree", "one\ntwo\nthree"),
        ("[l](https://a.example/?x=1&y=2)", '<a href="https://a.example/?x=1&amp;y=2">l</a>'),
        ("[l](src/app.py) x", "l x"),
        ("[l](javascript:alert) x", "[l](javascript:alert) x"),
        ("![alt](https://a.example/i.png)", '<a href="https://a.example/i.png">alt</a>'),
        ("```py\nx < 1\n```", '<pre><code class="language-py">x &lt; 1</code></pre>'),
        ("```\nx\n```", "<pre>x</pre>"),
        ("- a\n- b\n  - c\n", "• a\n• b\n   • c"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("- a\n\n  ```\n  x\n  ```\n- b", "• a\n<pre>x</pre>\n• b"),
        ("> a\n> > b\n> c", "<blockquote>a\n\nb\nc</blockquote>"),
        ("> a\n\nb", "<blockquote>a</blockquote>\n\nb"),
        ("|a|b|\n|-|-|\n|日本|1|", "<pre>a    │ b\n─────┼──\n日本 │ 1</pre>"),
        ("<b>not markup</b>", "&lt;b&gt;not markup&lt;/b&gt;"),
        ("a\n\n---\n\nb", "a\n\n———\n\nb"),
        ("מה שלומך **טוב**", "מה שלומך <b>טוב</b>"),
    ],
)
def test_markdown_as_html(markdown: str, html: str) -> None:
    assert only(markdown) == html
    parse_html(html)


@pytest.mark.parametrize("markdown", ["", "\n\n", "[]()"])
def test_nothing_to_read_is_no_message(markdown: str) -> None:
    assert format_answer(markdown).messages == ()


def test_a_code_block_survives_the_cut_with_its_language() -> None:
    lines = "\n".join(f"line {number} <&>" for number in range(500))
    found = format_answer(f"Before\n\n```python\n{lines}\n```\n\nafter")
    read = [parse_html(message.html) for message in found.messages]
    assert len(read) > 1
    blocks = [entity for piece in read for entity in piece.entities if entity["type"] == "pre"]
    assert len(blocks) == len(read)
    assert {entity.get("language") for entity in blocks} <= {None, "python"}
    text = "\n".join(piece.text for piece in read)
    assert [line for line in text.splitlines() if line.startswith("line")] == lines.splitlines()


@pytest.mark.parametrize(
    "character",
    ["😀", "👨‍👩‍👧", "🇩🇪", "👍🏽", "e\u0301"],
    ids=["surrogates", "family", "flag", "skin", "accent"],
)
def test_no_visible_character_is_torn(character: str) -> None:
    found = format_answer(character * 3000)
    assert len(found.messages) > 1 or found.document
    for message in found.messages:
        assert message.text == character * (len(message.text) // len(character))


def test_a_cut_prefers_blank_lines_then_lines_then_spaces() -> None:
    paragraph = "word " * 200
    found = format_answer("\n\n".join([paragraph] * 8))
    assert all(message.text.endswith("word") for message in found.messages)
    assert "\n\n".join(message.text for message in found.messages).split() == ["word"] * 1600


def test_a_very_long_answer_is_its_beginning_and_a_document() -> None:
    short = "x" * MESSAGE_UNITS * MOST_MESSAGES
    assert format_answer(short).document is None
    found = format_answer(short + "x")
    assert len(found.messages) == 1
    assert found.document == short + "x"


def test_twenty_thousand_characters_of_everything() -> None:
    """In the chat its beginning and a document; and each piece of it would be a message of its own."""
    chapter = "\n\n".join(
        [
            "## פרק ראשון 👨‍👩‍👧",
            "שלום **עולם** 😀 and *back* to `x < y && z`. " * 12,
            "| שם | 😀 | n |\n|---|:-:|--:|\n" + "| מים | 👍🏽 | 1 < 2 |\n" * 20,
            "```python\n" + "print('<b>', \"שלום\", '😀')  # a & b\n" * 25 + "```",
            "- one\n- two\n  - three & <four>",
            "> quoted [link](https://a.example/?x=1&y=2)",
        ]
    )
    markdown = "\n\n".join([chapter] * (20_000 // len(chapter) + 1))
    assert len(markdown) >= 20_000
    found = format_answer(markdown)
    assert (len(found.messages), found.document) == (1, markdown)
    pieces = split(read_markdown(markdown), MESSAGE_UNITS)
    assert len(pieces) > MOST_MESSAGES
    for piece in pieces:
        read = parse_html(to_html(piece))
        # What is sent if the markup is refused is the same to read.
        assert read.text == to_text(piece)
        assert utf16_length(read.text) <= MESSAGE_UNITS
    code = [
        line
        for piece in pieces
        for line in to_text(piece).splitlines()
        if line.startswith("print(")
    ]
    assert len(code) == 25 * markdown.count("```python")
    assert set(code) == {"print('<b>', \"שלום\", '😀')  # a & b"}


PIECES = st.sampled_from(
    ["**", "*", "_", "`", "```\n", "~~", "[", "](https://a.example)", "\n", "\n\n", "> ", "- ", "1. ", "# ",
     "|a|b|\n|-|-|\n", "<b>", "</b>", "&amp;", "<", "word ", "😀", "שלום", "  ", "\t", "\\", "   \n", "é"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=60).map("".join), st.integers(min_value=1, max_value=300))
def test_whatever_an_agent_writes_telegram_takes_it(markdown: str, times: int) -> None:
    found = format_answer(markdown * times)
    for message in found.messages:
        read = parse_html(message.html)
        assert read.text == message.text
        assert read.text.strip()
        assert utf16_length(read.text) <= MESSAGE_UNITS
        nested = [entity for entity in read.entities if entity["type"] in ("pre", "code")]
        assert not _overlaps(nested, read.entities)


def _overlaps(codes: list[dict[str, Any]], entities: list[dict[str, Any]]) -> bool:
    """Whether a style stands inside of code, which Telegram refuses."""
    return any(
        code is not other
        and code["offset"] <= other["offset"]
        and other["offset"] + other["length"] <= code["offset"] + code["length"]
        and other["type"] in ("bold", "italic", "strikethrough")
        and other["length"] < code["length"]
        for code in codes
        for other in entities
    )


@given(st.text(max_size=300))
def test_no_word_is_lost(text: str) -> None:
    escaped = "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+-.!|~&=" else c for c in text)
    flat = " ".join(escaped.split())
    found = "".join(message.text for message in format_answer(f"a{flat}").messages)
    assert "".join(found.split()) == "".join(f"a{text}".split()).replace("\x00", "\ufffd")
