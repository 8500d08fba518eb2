"""What a run is told next."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agentsession_core.mailbox.model import RunAnswer, RunRecord, RunState, TurnGrant
from agentsession_core.wire import TurnMessage
from agentsession_gateway.orders import Sent, next_order, standing, too_late
from agentsession_testing.operator_worlds import EMPTY

GRANT = TurnGrant(RunAnswer.TURN, "t1", 1, 3, 12.5, (TurnMessage(id="m", text="Grüße\n\n"),))


def test_a_turn_is_told_once() -> None:
    order, sent = next_order(GRANT, Sent())
    assert order is not None
    assert order.name == "turn"
    assert next_order(GRANT, sent) == (None, sent)


def test_a_turns_next_attempt_is_told() -> None:
    _, sent = next_order(GRANT, Sent())
    order, _ = next_order(TurnGrant(RunAnswer.TURN, "t1", 2), sent)
    assert order is not None


def test_on_the_wire() -> None:
    order, _ = next_order(GRANT, Sent())
    assert order is not None
    head, data, *rest = order.encode().decode().split("\n")
    assert head == "event: turn"
    # A line break in a message must not end the event.
    assert rest == ["", ""]
    assert json.loads(data.removeprefix("data: ")) == {
        "turn": "t1",
        "attempt": 1,
        "conversation": 3,
        "messages": [{"id": "m", "text": "Grüße\n\n", "files": []}],
        "remainingSeconds": 12.5,
    }


def test_drain_once_until_it_is_taken_back() -> None:
    drained, empty = TurnGrant(RunAnswer.DRAINED), TurnGrant(RunAnswer.EMPTY)
    order, sent = next_order(drained, Sent())
    assert order is not None
    assert order.encode() == b"event: drain\ndata: {}\n\n"
    assert next_order(drained, sent) == (None, sent)
    nothing, sent = next_order(empty, sent)
    assert nothing is None
    assert next_order(drained, sent)[0] is not None


def test_drain_after_a_turn() -> None:
    _, sent = next_order(GRANT, Sent())
    order, _ = next_order(TurnGrant(RunAnswer.DRAINED), sent)
    assert order is not None
    assert order.name == "drain"


@pytest.mark.parametrize(("now", "late"), [(0.0, False), (70.0, False), (70.1, True), (500, True)])
def test_too_late(now: float, late: bool) -> None:
    assert too_late(now, run_begun_at=0, active_deadline=100, turn_timeout=30) is late


def test_never_too_late_by_limits_that_do_not_fit_together() -> None:
    assert not too_late(50, run_begun_at=0, active_deadline=100, turn_timeout=100)


def test_a_run_that_the_operator_ended_is_stale() -> None:
    ended = RunRecord("uid/1", RunState.ENDED, begun_at=0, pod_uid="pod")
    assert standing(replace(EMPTY, run=ended), "uid/1", "pod") is RunAnswer.STALE
    drained = replace(ended, state=RunState.DRAINED)
    assert standing(replace(EMPTY, run=drained), "uid/1", "pod") is RunAnswer.DRAINED
