"""What the checks of a chaos run find, and what they let pass."""

from __future__ import annotations

import pytest

from chaos.ledger import Answer, Ledger, figures


def ledger(*messages: str) -> Ledger:
    """A ledger with accepted messages, a second apart."""
    made = Ledger()
    for at, message in enumerate(messages):
        made.offer("box", message, at)
        made.accept("box", message, at)
    return made


def answer(*reply_to: str, entry: str = "1-0", kind: str = "answer") -> Answer:
    text = " ".join(f"[{message}]" for message in reply_to)
    return Answer(entry, kind, reply_to, "Succeeded", text)


def broken(checked: Ledger) -> list[str]:
    checked.close()
    return [violation.invariant for violation in checked.violations]


def test_every_message_answered_once_in_order_is_fine() -> None:
    checked = ledger("a", "b", "c")
    checked.answer("box", answer("a"), 5)
    checked.answer("box", answer("b", "c", entry="2-0"), 6)
    assert broken(checked) == []


def test_a_notice_is_an_answer_too() -> None:
    checked = ledger("a")
    checked.answer("box", Answer("1-0", "notice", ("a",), "", "given up"), 5)
    assert broken(checked) == []


@pytest.mark.parametrize(
    ("answers", "invariant"),
    [
        ([("a",)], "nothing is lost"),
        ([("a", "b"), ("b",)], "answered once"),
        ([("b",), ("a",)], "answered in order"),
        ([("a", "b"), ("x",)], "answers are to messages"),
    ],
)
def test_what_is_wrong_is_found(answers: list[tuple[str, ...]], invariant: str) -> None:
    checked = ledger("a", "b")
    for number, reply_to in enumerate(answers):
        checked.answer("box", answer(*reply_to, entry=f"{number}-0"), 5)
    assert invariant in broken(checked)


def test_an_answer_that_leaves_a_message_out_is_found() -> None:
    checked = ledger("a", "b")
    checked.answer("box", Answer("1-0", "answer", ("a", "b"), "Succeeded", "[a]"), 5)
    assert broken(checked) == ["answers hold their messages"]


def test_a_refused_message_may_not_be_answered() -> None:
    checked = ledger()
    checked.offer("box", "a", 1)
    checked.refuse("box", "a", 2, "full")
    assert broken(checked) == []
    checked.answer("box", answer("a"), 3)
    assert broken(checked) == ["answers are to messages"]


def test_figures_count_what_was_accepted_and_answered() -> None:
    checked = ledger("a", "b", "c")
    checked.answer("box", answer("a"), 10)
    checked.answer("box", answer("b", entry="2-0"), 3)
    checked.close()
    found = figures(checked.mailboxes.values(), checked.violations)
    assert (found.messages, found.answers, found.losses, found.duplicates) == (3, 2, 1, 0)
    assert (found.longest, found.median) == (10, 10)
