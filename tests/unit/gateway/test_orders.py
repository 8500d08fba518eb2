"""What a run is told next."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agentsession_core.mailbox.answers import RunAnswer, TurnGrant
from agentsession_core.mailbox.model import RunRecord, RunState
from agentsession_core.wire import TurnMessage
from agentsession_gateway.orders import Sent, next_orders, standing, too_late
from agentsession_testing.operator_worlds import EMPTY

GRANT = TurnGrant(RunAnswer.TURN, "t1", 1, 3, 12.5, (TurnMessage(id="m", text="Grüße\n\n"),))


def names(grant: TurnGrant, sent: Sent) -> tuple[list[str], Sent]:
    orders, then = next_orders(grant, sent)
    return [order.name for order in orders], then


def test_a_turn_is_told_once() -> None:
    told, sent = names(GRANT, Sent())
    assert told == ["turn"]
    assert names(GRANT, sent) == ([], sent)


def test_a_turns_next_attempt_is_told() -> None:
    _, sent = names(GRANT, Sent())
    assert names(replace(GRANT, attempt=2), sent)[0] == ["turn"]


def test_on_the_wire() -> None:
    [order], _ = next_orders(GRANT, Sent())
    head, data, *rest = order.encode().decode().split("\n")
    assert head == "event: turn"
    # A line break in a message must not end the event.
    assert rest == ["", ""]
    assert json.loads(data.removeprefix("data: ")) == {
        "turn": "t1",
        "attempt": 1,
        "conversation": 3,
        "messages": [{"id": "m", "text": "Grüße\n\n", "files": [], "attachments": []}],
        "remainingSeconds": 12.5,
    }


def test_a_cancel_is_told_once_and_behind_its_turn() -> None:
    cancelled = replace(GRANT, cancelled=True)
    assert names(cancelled, Sent())[0] == ["turn", "cancel"]
    _, sent = names(GRANT, Sent())
    [cancel], sent = next_orders(cancelled, sent)
    assert cancel.encode() == b'event: cancel\ndata: {"turn": "t1"}\n\n'
    assert names(cancelled, sent) == ([], sent)
    # The next attempt, or turn, is told of its own.
    assert names(replace(cancelled, attempt=2), sent)[0] == ["turn", "cancel"]
    assert names(replace(GRANT, turn="t2"), sent)[0] == ["turn"]


def test_drain_once_until_it_is_taken_back() -> None:
    drained, empty = TurnGrant(RunAnswer.DRAINED), TurnGrant(RunAnswer.EMPTY)
    [order], sent = next_orders(drained, Sent())
    assert order.encode() == b"event: drain\ndata: {}\n\n"
    assert names(drained, sent) == ([], sent)
    told, sent = names(empty, sent)
    assert told == []
    assert names(drained, sent)[0] == ["drain"]


def test_drain_after_a_turn() -> None:
    _, sent = names(GRANT, Sent())
    assert names(TurnGrant(RunAnswer.DRAINED), sent)[0] == ["drain"]


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
