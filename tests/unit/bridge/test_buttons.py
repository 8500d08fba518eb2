"""Which buttons stand below what is said."""

from __future__ import annotations

import pytest

from agentsession_bridge.buttons import buttons_of
from agentsession_bridge.outbox import Entry
from agentsession_core.mailbox.notices import approval_notice, end_notice


def entry(said: str, kind: str = "notice") -> Entry:
    return Entry("1-0", said, kind, "42", "", "", "text", (), 0.0)


def test_a_question_has_two() -> None:
    assert [(one.text, one.data) for one in buttons_of(entry(approval_notice("0123456789ab")))] == [
        ("Agree", "agree:0123456789ab"),
        ("Refuse", "refuse:0123456789ab"),
    ]


def test_the_notice_of_an_end_has_one() -> None:
    (button,) = buttons_of(entry(end_notice("uid", 1_764_000_000)))
    assert (button.text, button.data) == ("Keep", "keep:1764000000")


@pytest.mark.parametrize(
    "one",
    [
        entry("held-1"),
        entry("approval.x"),
        entry(f"{approval_notice('0123456789ab')}.more"),
        # What an agent says has none, whatever it is called.
        entry(approval_notice("0123456789ab"), "answer"),
        entry(approval_notice("0123456789ab"), "respond"),
        entry(end_notice("uid", 1), "respond"),
    ],
)
def test_anything_else_has_none(one: Entry) -> None:
    assert buttons_of(one) == ()
