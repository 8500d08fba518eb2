from __future__ import annotations

from typing import Any

import pytest

from agentsession_runner.orders import (
    CancelOrder,
    DrainOrder,
    OrderError,
    Skill,
    TurnOrder,
    parse_order,
    parse_welcome,
)

WELCOME: dict[str, Any] = {
    "protocol": 1,
    "run": "uid/3",
    "conversation": 2,
    "agentSessionID": None,
    "model": None,
    "processMode": "Persistent",
    "somethingNewer": {"a": 1},
}
TURN: dict[str, Any] = {
    "turn": "t1",
    "attempt": 1,
    "conversation": 0,
    "messages": [{"id": "m1", "text": "hi"}],
    "remainingSeconds": 12,
}


def test_the_smallest_welcome() -> None:
    welcome = parse_welcome(WELCOME)
    assert (welcome.run, welcome.conversation, welcome.process_mode) == ("uid/3", 2, "Persistent")
    assert (welcome.args, welcome.skills, welcome.instructions) == ((), (), "")


def test_a_full_welcome() -> None:
    skill = {"name": "deploy", "files": [{"path": "SKILL.md", "content": "x"}]}
    welcome = parse_welcome(
        {**WELCOME, "model": "m", "args": ["--a"], "skills": [skill], "processMode": "PerTurn"}
    )
    assert welcome.skills == (Skill("deploy", (("SKILL.md", "x"),)),)
    assert (welcome.model, welcome.args, welcome.process_mode) == ("m", ("--a",), "PerTurn")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run", None),
        ("conversation", "0"),
        ("conversation", True),
        ("processMode", "Sometimes"),
        ("agentSessionID", 7),
        ("args", "--a"),
        ("args", [1]),
        ("skills", ["deploy"]),
        ("skills", [{"name": "deploy", "files": [{"path": "x"}]}]),
    ],
)
def test_an_unfit_welcome_names_the_field(field: str, value: object) -> None:
    with pytest.raises(OrderError):
        parse_welcome({**WELCOME, field: value})


def test_orders() -> None:
    turn = parse_order("turn", TURN)
    assert isinstance(turn, TurnOrder)
    assert turn.messages[0].text == "hi"
    assert turn.remaining_seconds == 12.0
    assert parse_order("cancel", {"turn": "t1"}) == CancelOrder("t1")
    assert parse_order("drain", {}) == DrainOrder()
    assert parse_order("invented-later", {}) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("turn", None),
        ("attempt", "1"),
        ("messages", {}),
        ("messages", [{"id": "m"}]),
        ("remainingSeconds", float("nan")),
        ("remainingSeconds", None),
    ],
)
def test_an_unfit_turn_is_refused(field: str, value: object) -> None:
    with pytest.raises(OrderError):
        parse_order("turn", {**TURN, field: value})
