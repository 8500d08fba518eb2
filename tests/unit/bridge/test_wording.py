"""Entries of the outbox as messages."""

from __future__ import annotations

import pytest

from agentsession_bridge.formatting.messages import MESSAGE_UNITS
from agentsession_bridge.outbox import Entry
from agentsession_bridge.wording import say
from agentsession_core.api.values import TurnOutcome


def texts_of(text: str, outcome: str = TurnOutcome.SUCCEEDED, kind: str = "answer") -> list[str]:
    entry = Entry("1-0", "t", kind, "71", "t", outcome, text, ("71.1",), 0.0)
    return [message.text for message in say(entry).messages]


@pytest.mark.parametrize(
    ("text", "outcome", "said"),
    [
        ("**Hi**", TurnOutcome.SUCCEEDED, ["Hi"]),
        ("", TurnOutcome.SUCCEEDED, ["(The agent is done and has nothing to say.)"]),
        ("Half", TurnOutcome.CANCELLED, ["Half\n\nStopped."]),
        ("", TurnOutcome.CANCELLED, ["Stopped."]),
        ("x" * MESSAGE_UNITS, TurnOutcome.CANCELLED, ["x" * MESSAGE_UNITS, "Stopped."]),
        (
            "y" * (MESSAGE_UNITS - 10),
            TurnOutcome.CANCELLED,
            ["y" * (MESSAGE_UNITS - 10) + "\n\nStopped."],
        ),
    ],
    ids=["answer", "nothing", "stopped", "stopped at once", "no room", "just room"],
)
def test_an_ending_stands_below_the_last_words_if_it_has_room(
    text: str, outcome: str, said: list[str]
) -> None:
    assert texts_of(text, outcome) == said


def test_a_notice_is_plain() -> None:
    assert texts_of("a **b** <c>", kind="notice") == ["a **b** <c>"]
