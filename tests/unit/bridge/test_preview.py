"""What is shown of a turn while it runs."""

from __future__ import annotations

from typing import Any

from agentsession_bridge.preview import LINE_CHARACTERS, Preview
from agentsession_core.mailbox.model import MailboxEvent


def event(seq: int, kind: str, **data: Any) -> MailboxEvent:
    return MailboxEvent(f"{seq}-0", "t1", kind, "telegram", data, seq)


def begun(attempt: int) -> MailboxEvent:
    return event(0, "turn", phase="begun", attempt=attempt)


def html_of(*events: MailboxEvent) -> str:
    preview = Preview()
    for one in events:
        preview.add(one)
    message = preview.message()
    return message.html if message is not None else ""


def test_nothing_is_shown_of_nothing() -> None:
    assert html_of() == ""
    assert html_of(event(1, "usage", tokens=5), event(2, "state", agentSessionID="x")) == ""


def test_the_line_below_the_text_says_what_is_going_on() -> None:
    events = [begun(1), event(1, "delta", text="I **look**")]
    assert html_of(*events) == "I <b>look</b>"
    events.append(event(2, "tool", name="Bash", summary="ls <a>\n  b"))
    assert html_of(*events) == "I <b>look</b>\n\n<i>🔧 Bash ls &lt;a&gt; b</i>"
    events.append(event(3, "tool", name="Read", summary="b"))
    assert html_of(*events) == "I <b>look</b>\n\n<i>🔧 Read b</i>"
    events.append(event(4, "delta", text="Done"))
    assert html_of(*events) == "I <b>look</b>\n\nDone"


def test_a_line_stays_a_line() -> None:
    shown = html_of(event(1, "tool", name="Bash", summary="x" * 500))
    assert len(shown) == LINE_CHARACTERS + len("<i></i>")
    assert shown.endswith("…</i>")


def test_the_first_words_are_there() -> None:
    said = [begun(1), event(0, "delta", text="I "), event(1, "delta", text="look")]
    assert html_of(*said) == "I look"
    assert html_of(*said, begun(2), *said[1:]) == "I look"


def test_what_comes_again_is_shown_once() -> None:
    assert html_of(event(0, "delta", text="a"), event(0, "delta", text="a")) == "a"
    assert html_of(event(1, "delta", text="a"), event(1, "delta", text="a")) == "a"


def test_another_attempt_begins_anew() -> None:
    cut = [event(1, "delta", text="old"), begun(2)]
    assert html_of(*cut) == "<i>Your agent was interrupted and tries again (attempt 2)…</i>"
    assert html_of(*cut, event(1, "delta", text="new")) == "new"


def test_beyond_one_message_it_stays_as_it_is() -> None:
    long = event(1, "delta", text="word " * 1000)
    full = html_of(long)
    assert len(full) <= 4096
    assert html_of(long, event(2, "delta", text="more")) == full
    assert html_of(long, event(2, "tool", name="Bash", summary="ls")) == full


def test_data_of_another_shape_is_no_error() -> None:
    assert html_of(event(1, "delta", text=5), event(2, "turn"), event(3, "turn", phase="x")) == ""
