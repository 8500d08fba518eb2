"""Status writes: how often, how small, and which Events they are worth."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_core.api import AgentSessionStatus, Phase, TurnOutcome
from agentsession_core.api.status import REPLY_BYTES
from agentsession_core.mailbox.model import LastTurnRecord, UsageRecord
from agentsession_core.mailbox.stages import Passed, Stage
from agentsession_operator.model import Children
from agentsession_operator.pace import write_delay
from agentsession_operator.patch import merge_patch
from agentsession_operator.plan import plan
from agentsession_operator.status import answered, first_bytes
from agentsession_operator.story import tell
from agentsession_operator.world import Place
from agentsession_testing.operator_worlds import (
    EMPTY,
    NOW,
    UID,
    make_claim,
    make_live_world,
    make_run,
    make_session,
    make_world,
)

LAST = LastTurnRecord(
    turn="t1",
    run=f"{UID}/1",
    source="prompt",
    outcome=TurnOutcome.SUCCEEDED,
    reply="Hello!",
    error_code="",
    error_message="",
    model_status=None,
    started_at=NOW - 2,
    finished_at=NOW - 1,
    message_id=f"{UID}.1",
)

json_objects = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
).filter(lambda value: isinstance(value, dict))


def without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {k: without_nulls(v) for k, v in value.items() if v is not None}


def apply(target: Any, patch: Any) -> Any:
    """RFC 7386, as the server does it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result


@given(json_objects.map(without_nulls), json_objects.map(without_nulls))
def test_merge_patch_turns_one_into_the_other(before: Any, after: Any) -> None:
    assert apply(before, merge_patch(before, after)) == after


def test_equal_statuses_are_no_write() -> None:
    status = plan(make_world()).status
    assert write_delay(status, status, NOW, 0, NOW) is None


def test_activity_alone_is_never_a_write() -> None:
    first = plan(make_live_world()).status
    later = first.model_copy(update={"last_activity_time": datetime.fromtimestamp(NOW + 5, UTC)})
    assert later.last_activity_time != first.last_activity_time
    assert write_delay(first, later, NOW, 0, NOW) is None


def test_an_answer_is_written_at_once_but_not_twice_a_second() -> None:
    before = plan(make_live_world()).status
    after = plan(make_live_world(mailbox=replace(EMPTY, run=make_run(), last=LAST))).status
    assert write_delay(before, after, NOW, NOW - 60, NOW) == 0
    assert write_delay(before, after, NOW, NOW - 0.25, NOW) == pytest.approx(0.75)


def test_a_prompt_s_answer_is_delivered_with_the_status_that_brings_it() -> None:
    last = replace(LAST, came_at=NOW - 3, launch="warm")
    world = make_live_world(mailbox=replace(EMPTY, run=make_run(), last=last))
    status = plan(world).status
    assert answered(world, status) == Passed(Stage.DELIVERED, "warm", 3.0)
    told = make_live_world(make_session(status=status.to_api()), mailbox=world.mailbox)
    assert answered(told, plan(told).status) is None
    for other in (LAST, replace(last, source="telegram"), replace(last, source="terminal")):
        elsewhere = make_live_world(mailbox=replace(EMPTY, run=make_run(), last=other))
        assert answered(elsewhere, plan(elsewhere).status) is None


def test_a_passing_phase_waits_for_the_next_one() -> None:
    idle = AgentSessionStatus(phase=Phase.IDLE)
    working = AgentSessionStatus(phase=Phase.WORKING)
    assert write_delay(idle, working, NOW, NOW - 60, NOW) == 2.0
    assert write_delay(idle, working, NOW, NOW - 60, NOW - 1.75) == 0.25
    assert write_delay(idle, working, NOW, NOW - 60, NOW - 2) == 0
    assert write_delay(AgentSessionStatus(), working, NOW, 0, NOW) == 2.0
    assert write_delay(idle, AgentSessionStatus(phase=Phase.SUSPENDING), NOW, 0, NOW - 1) == 2.0
    assert (
        write_delay(AgentSessionStatus(), AgentSessionStatus(phase=Phase.FAILED), NOW, 0, NOW) == 0
    )


def queued(position: int | None) -> AgentSessionStatus:
    place = Place(free=False, position=position, waiting=100, places=5)
    return plan(make_world(mailbox=replace(EMPTY, waiting=1), place=place)).status


def test_a_place_in_the_queue_is_written_seldom_and_only_when_it_has_moved_by_a_tenth() -> None:
    assert write_delay(AgentSessionStatus(), queued(50), NOW, 0, NOW) == 2.0
    assert write_delay(queued(50), queued(49), NOW, 0, NOW) is None
    assert write_delay(queued(50), queued(45), NOW, NOW - 29, NOW) is None
    assert write_delay(queued(50), queued(45), NOW, NOW - 30, NOW) == 0
    assert write_delay(queued(2), queued(1), NOW, NOW - 30, NOW) == 0
    other = queued(50).model_copy(update={"agent_session_id": "new"})
    assert write_delay(queued(50), other, NOW, NOW - 29, NOW) == 0


@given(st.text(max_size=3000), st.integers(min_value=0, max_value=REPLY_BYTES))
def test_reply_keeps_whole_characters(text: str, limit: int) -> None:
    kept, truncated = first_bytes(text, limit)
    assert text.startswith(kept)
    assert len(kept.encode()) <= limit
    assert truncated == (kept != text)


def test_chat_never_reaches_the_status() -> None:
    last = replace(LAST, source="telegram", reply="private")
    status = plan(make_live_world(mailbox=replace(EMPTY, run=make_run(), last=last))).status
    assert status.last_turn is not None
    assert status.last_turn.reply is None
    assert "private" not in status.model_dump_json()


def test_prompt_reply_usage_and_cost_are_shown() -> None:
    usage = UsageRecord(turns=2, input_tokens=120, output_tokens=30, cost_nanousd=1_250_000)
    mailbox = replace(EMPTY, run=make_run(turns=2), last=LAST, usage=usage)
    status = plan(make_live_world(mailbox=mailbox)).status.to_api()
    assert status["lastTurn"]["reply"] == "Hello!"
    assert status["lastTurn"]["truncated"] is False
    assert status["usage"] == {
        "turns": 2,
        "inputTokens": 120,
        "outputTokens": 30,
        "costUSD": "0.001250",
    }
    assert status["launchType"] == "warm"
    assert status["startupMilliseconds"] == 1000


def test_missing_price_is_absent_not_zero() -> None:
    mailbox = replace(EMPTY, usage=UsageRecord(turns=1, input_tokens=5, cost_nanousd=None))
    assert "costUSD" not in plan(make_world(mailbox=mailbox)).status.to_api()["usage"]


def test_status_is_small_with_the_longest_reply() -> None:
    last = replace(LAST, reply="ü" * 10_000)
    mailbox = replace(EMPTY, run=make_run(), last=last, usage=UsageRecord(turns=1))
    assert len(plan(make_live_world(mailbox=mailbox)).status.model_dump_json().encode()) < 6_000


def test_redis_that_forgot_does_not_erase_the_status() -> None:
    known = plan(make_live_world(mailbox=replace(EMPTY, run=make_run(), last=LAST))).status
    session = make_session(status=known.to_api())
    status = plan(make_world(session, mailbox=EMPTY)).status
    assert status.last_turn == known.last_turn
    assert status.last_handled_message_id == known.last_handled_message_id


class TestStory:
    def events(self, before: dict[str, Any], status: AgentSessionStatus) -> list[str]:
        return [event.reason for event in tell(make_session(status=before), status)]

    def test_first_start(self) -> None:
        decided = plan(make_world(mailbox=replace(EMPTY, waiting=1)))
        assert self.events({}, decided.status) == ["WorkspaceCreated", "RunStarted"]

    def test_answer(self) -> None:
        before = plan(make_live_world()).status.to_api()
        after = plan(make_live_world(mailbox=replace(EMPTY, run=make_run(), last=LAST))).status
        assert self.events(before, after) == ["TurnSucceeded"]

    def test_suspension(self) -> None:
        before = plan(make_live_world()).status.to_api()
        asleep = make_world(make_session(status=before), children=Children(claim=make_claim()))
        assert self.events(before, plan(asleep).status) == ["Suspended"]

    def test_queueing_is_told_once_and_is_no_warning(self) -> None:
        told = [e for e in tell(make_session(), queued(3)) if e.reason == "Queued"]
        assert [event.type for event in told] == ["Normal"]
        assert "Number 3 of 100" in told[0].message
        assert self.events(queued(3).to_api(), queued(2)) == []

    def test_wrong_model_key_is_a_warning_that_names_the_value_to_set(self) -> None:
        failed = replace(LAST, outcome=TurnOutcome.MODEL_ERROR, model_status=401)
        status = plan(make_live_world(mailbox=replace(EMPTY, run=make_run(), last=failed))).status
        told = tell(make_session(), status)
        warning = next(e for e in told if e.reason == "ModelAuthenticationFailed")
        assert warning.type == "Warning"
        assert "gateway.models.anthropic" in warning.message

    def test_nothing_new_is_nothing_to_tell(self) -> None:
        status = plan(make_live_world()).status
        assert self.events(status.to_api(), status) == []
