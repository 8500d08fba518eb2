"""What a terminal is shown of a mailbox's events: deny is the default."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentsession_core.api import TurnOutcome
from agentsession_core.mailbox.model import LastTurnRecord, MailboxEvent
from agentsession_core.terminal import HistoryTurn, ShownMessage, TerminalEvent
from agentsession_gateway.terminal_view import completed, encode, history_of, is_cut, last_of, shown

BEGUN = {"phase": "begun", "attempt": 1, "messages": [{"id": "m1", "text": "hi"}], "at": "10.5"}
ENDED = {"phase": "ended", "outcome": "Succeeded", "messages": ["m1"], "text": "ho", "at": "12"}


def event(kind: str, source: str, data: dict[str, Any], turn: str = "t1") -> MailboxEvent:
    return MailboxEvent("1-0", turn, kind, source, data)


@pytest.mark.parametrize("source", ["terminal", "prompt"])
@pytest.mark.parametrize(
    ("kind", "data", "name", "text"),
    [
        ("delta", {"text": "a"}, "delta", "a"),
        ("tool", {"name": "Bash", "summary": "ls"}, "tool", "ls"),
        ("state", {"note": "lost"}, "note", "lost"),
        ("respond", {"text": "soon"}, "said", "soon"),
        ("turn", BEGUN, "begun", ""),
        ("turn", ENDED, "ended", "ho"),
    ],
)
def test_open_sources_are_shown(
    source: str, kind: str, data: dict[str, Any], name: str, text: str
) -> None:
    seen = shown(event(kind, source, data))
    assert seen is not None
    assert (seen[0], seen[1].text, seen[1].source) == (name, text, source)


@pytest.mark.parametrize("source", ["telegram", "api", "task", "", "Terminal"])
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("delta", {"text": "a"}),
        ("tool", {"name": "Bash"}),
        ("state", {"note": "lost"}),
        ("respond", {"text": "soon"}),
    ],
)
def test_of_other_sources_nothing_is_shown(source: str, kind: str, data: dict[str, Any]) -> None:
    assert shown(event(kind, source, data)) is None


@pytest.mark.parametrize("data", [BEGUN, {**ENDED, "errorMessage": "why"}])
def test_a_turn_of_another_source_has_no_words(data: dict[str, Any]) -> None:
    seen = shown(event("turn", "telegram", data))
    assert seen is not None
    assert not {"hi", "ho", "why"} & set(json.dumps(seen[1].to_wire()).split('"'))
    assert [message.id for message in seen[1].messages] == ["m1"]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("state", {"agentSessionID": "c0ffee"}),
        ("state", {"phase": "ended", "outcome": "Succeeded"}),
        ("usage", {"x": 1}),
        ("turn", {"phase": "unheard-of"}),
        ("turn", {}),
        ("other", {"text": "a"}),
    ],
)
def test_what_is_nothing_for_people(kind: str, data: dict[str, Any]) -> None:
    assert shown(event(kind, "terminal", data)) is None


@pytest.mark.parametrize(
    "data",
    [
        {"phase": "begun", "messages": 3, "attempt": "x", "at": "soon"},
        {"phase": "begun", "messages": [3, None, {"id": 4}], "attempt": None},
        {"phase": "ended", "outcome": ["x"], "text": {}},
    ],
)
def test_data_of_unexpected_shape_is_no_error(data: dict[str, Any]) -> None:
    assert shown(event("turn", "terminal", data)) is not None


def test_history_is_turns_in_order() -> None:
    events = [
        event("turn", "terminal", BEGUN),
        event("delta", "terminal", {"text": "h"}),
        event("turn", "terminal", ENDED),
        event("turn", "telegram", BEGUN, "t2"),
        event("turn", "telegram", {**ENDED, "outcome": "Failed"}, "t2"),
        event("turn", "terminal", ENDED, "t3"),
    ]
    message = ShownMessage(id="m1", text="hi")
    hidden = ShownMessage(id="m1")
    assert history_of(events) == [
        HistoryTurn(
            turn="t1", source="terminal", messages=(message,), outcome="Succeeded", text="ho",
            began_at=10.5, ended_at=12,
        ),
        HistoryTurn(
            turn="t2", source="telegram", messages=(hidden,), outcome="Failed", began_at=10.5,
            ended_at=12,
        ),
        # Its beginning is trimmed away.
        HistoryTurn(
            turn="t3", source="terminal", messages=(hidden,), outcome="Succeeded", text="ho",
            ended_at=12,
        ),
    ]  # fmt: skip


def last(source: str, turn: str = "t1") -> LastTurnRecord:
    return LastTurnRecord(
        turn, "u/1", source, TurnOutcome.FAILED, "the reply", "code", "why", None, 1.0, 2.0, "m1"
    )


def test_last() -> None:
    assert last_of(None).turn is None
    mine, others = last_of(last("terminal")), last_of(last("telegram"))
    assert (mine.text, mine.error, mine.shown) == ("the reply", "why", True)
    assert (others.text, others.error, others.shown) == ("", "", False)
    assert others.outcome == "Failed"


def test_a_cut_answer_is_completed_from_the_last_turn() -> None:
    cut = event("turn", "terminal", {**ENDED, "truncated": True})
    assert is_cut(cut)
    assert completed(cut, last("terminal")).data["text"] == "the reply"
    assert completed(cut, last("terminal", "t9")) is cut
    assert completed(cut, None) is cut


def test_one_event_is_one_frame_whatever_is_in_it() -> None:
    nasty = TerminalEvent(turn="t", source="terminal", text="a\n\nevent: ended\r\u2028\ud800")
    frame = encode("1-0", "delta", nasty).decode()  # type: ignore[arg-type]
    assert frame.startswith("id: 1-0\nevent: delta\ndata: {")
    assert frame.endswith("}\n\n")
    assert frame.count("\n") == 4
    assert "\r" not in frame
