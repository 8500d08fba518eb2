"""Events in, words for people out."""

from __future__ import annotations

from typing import Any

import pytest

from agentsession_core.terminal import HistoryTurn, ShownMessage, TerminalEvent
from kubectl_agents.follow import Follower, Outcome, Say, Tone, tell_history
from kubectl_agents.sse import Frame, frames

MINE = (ShownMessage(id="mine", text="hi"),)
THEIRS = (ShownMessage(id="theirs", text="yo"),)


def event(source: str = "terminal", turn: str = "t1", **more: Any) -> TerminalEvent:
    return TerminalEvent(turn=turn, source=source, **more)


def follow(*steps: tuple[str, TerminalEvent]) -> tuple[list[Say], Follower]:
    follower = Follower()
    follower.expect("mine")
    return [say for kind, one in steps for say in follower.take(kind, one)], follower


def test_an_answer_that_was_streamed_is_not_said_twice() -> None:
    says, follower = follow(
        ("begun", event(messages=MINE, attempt=1)),
        ("delta", event(text="I look. ")),
        ("tool", event(name="Bash", text="ls")),
        ("delta", event(text="It is ")),
        ("delta", event(text="empty.")),
        ("ended", event(messages=MINE, outcome="Succeeded", text="It is empty.")),
    )
    assert says == [
        Say(Tone.TEXT, "I look. "),
        Say(Tone.TOOL, "Bash ls"),
        Say(Tone.TEXT, "It is "),
        Say(Tone.TEXT, "empty."),
        Say(Tone.BREAK, ""),
    ]
    assert follower.outcome == Outcome("Succeeded", "It is empty.")


def test_what_was_not_streamed_is_said_at_the_end() -> None:
    says, _ = follow(
        ("begun", event(messages=MINE)),
        ("delta", event(text="It is em")),
        ("ended", event(messages=MINE, outcome="Succeeded", text="It is empty.")),
    )
    assert says[-1] == Say(Tone.ANSWER, "It is empty.")


def test_what_is_said_in_the_middle_stands_on_lines_of_its_own() -> None:
    says, follower = follow(
        ("begun", event(messages=MINE)),
        ("said", event(text="I begin.")),
        ("delta", event(text="Look")),
        ("said", event(text="Half is done.")),
        ("ended", event(messages=MINE, outcome="Succeeded", text="Done.")),
    )
    assert says == [
        Say(Tone.ANSWER, "I begin."),
        Say(Tone.TEXT, "Look"),
        Say(Tone.BREAK, ""),
        Say(Tone.ANSWER, "Half is done."),
        Say(Tone.BREAK, ""),
        Say(Tone.ANSWER, "Done."),
    ]
    assert follower.outcome == Outcome("Succeeded", "Done.")


def test_our_turn_is_known_from_its_beginning() -> None:
    _, follower = follow(("begun", event(messages=MINE, turn="t7")))
    assert (follower.turn, follower.outcome) == ("t7", None)


def test_another_terminals_turn_is_not_ours() -> None:
    says, follower = follow(
        ("begun", event(messages=THEIRS)),
        ("ended", event(messages=THEIRS, outcome="Succeeded", text="answer")),
    )
    assert says == [
        Say(Tone.NOTE, "the agent works on a message from another terminal"),
        Say(Tone.QUESTION, "yo"),
        Say(Tone.ANSWER, "answer"),
    ]
    assert follower.outcome is None


def test_of_a_chats_turn_there_are_no_words() -> None:
    hidden = (ShownMessage(id="theirs"),)
    says, follower = follow(
        ("begun", event("telegram", messages=hidden)),
        ("ended", event("telegram", messages=hidden, outcome="Failed")),
    )
    assert says == [
        Say(Tone.NOTE, "the agent works on a message from telegram"),
        Say(Tone.NOTE, "the message from telegram ended as Failed"),
    ]
    assert follower.outcome is None


@pytest.mark.parametrize(
    ("outcome", "error", "said"),
    [
        ("Cancelled", "the turn was stopped on request", "stopped"),
        ("ModelError", "429", "the turn ended as ModelError: 429"),
        ("Failed", "", "the turn ended as Failed"),
    ],
)
def test_a_turn_that_went_wrong(outcome: str, error: str, said: str) -> None:
    says, follower = follow(
        ("begun", event(messages=MINE)),
        ("ended", event(messages=MINE, outcome=outcome, error=error)),
    )
    assert says == [Say(Tone.PROBLEM, said)]
    assert follower.outcome == Outcome(outcome, "", error)


def test_a_run_that_died_in_the_turn() -> None:
    says, _ = follow(
        ("begun", event(messages=MINE, attempt=1)),
        ("delta", event(text="Hal")),
        ("begun", event(messages=MINE, attempt=2)),
        ("delta", event(text="Hallo")),
        ("ended", event(messages=MINE, outcome="Succeeded", text="Hallo")),
    )
    assert says == [
        Say(Tone.TEXT, "Hal"),
        Say(Tone.NOTE, "the run was cut off; attempt 2 in the next one"),
        Say(Tone.TEXT, "Hallo"),
        Say(Tone.BREAK, ""),
    ]


def test_a_notice_about_our_message_ends_the_wait() -> None:
    says, follower = follow(("notice", event(turn="", messages=MINE, text="Deleted.")))
    assert says == [Say(Tone.PROBLEM, "Deleted.")]
    assert follower.outcome == Outcome("", "", "Deleted.", refused=True)


def test_kinds_of_a_newer_gateway_are_passed_over() -> None:
    assert follow(("hologram", event(text="x")))[0] == []


def test_an_end_whose_beginning_was_missed_is_still_ours() -> None:
    _, follower = follow(("ended", event(messages=MINE, outcome="Succeeded", text="x")))
    assert follower.outcome is not None


def test_history() -> None:
    turns = (
        HistoryTurn(turn="t0", source="prompt", messages=THEIRS, outcome="Succeeded", text="old"),
        HistoryTurn(turn="t1", source="terminal", messages=MINE, outcome="Succeeded", text="ho"),
        HistoryTurn(turn="t2", source="telegram", outcome="Succeeded"),
        HistoryTurn(turn="t3", source="terminal", outcome="Cancelled"),
    )
    assert tell_history(turns, 3) == [
        Say(Tone.QUESTION, "hi"),
        Say(Tone.ANSWER, "ho"),
        Say(Tone.NOTE, "a message from telegram (Succeeded)"),
        Say(Tone.PROBLEM, "stopped"),
    ]
    assert tell_history(turns, 0) == []


def test_frames() -> None:
    lines = [
        ": connected", "", "id: 1-0", "event: delta", 'data: {"a":', "data: 1}", "",
        ": keep-alive", "", "data:x", "", "id: 2-0", "event: cut", "data: off",
    ]  # fmt: skip
    assert list(frames(lines)) == [Frame("1-0", "delta", '{"a":\n1}'), Frame("1-0", "", "x")]
