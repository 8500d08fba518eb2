"""When the next thing happens to a session, why the last one did, and what its people are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from agentsession_core.api import AgentSession, Reason, TurnOutcome
from agentsession_core.mailbox.model import LastTurnRecord, MailboxState, RunState
from agentsession_operator.model import Children
from agentsession_operator.pace import write_delay
from agentsession_operator.plan import plan
from agentsession_operator.times import STATE_LOST_SECONDS
from agentsession_operator.words import expiry_text, warning_text
from agentsession_operator.world import DeleteSession, Drain, TellLost, WarnOfEnd, World
from agentsession_testing.operator_worlds import (
    EMPTY,
    NOW,
    TURN,
    UID,
    make_claim,
    make_job,
    make_live_world,
    make_pod,
    make_run,
    make_session,
    make_world,
    verdict,
)

DAY, HOUR = 86_400, 3_600


def asleep(session: AgentSession | None = None, **mailbox: Any) -> World:
    """A session that was suspended long ago; `mailbox` changes what Redis says."""
    return make_world(session or make_session(age=2 * DAY), mailbox=replace(EMPTY, **mailbox))


def told(last_activity: float, after: int = DAY, late: float = 0.0) -> dict[str, Any]:
    """A mailbox whose people know its end, told an hour before it or `late` seconds later."""
    end = last_activity + after
    return {
        "last_activity": last_activity,
        "warned": int(end),
        "warned_at": end - HOUR + late,
    }


def times(world: World) -> tuple[float | None, float | None]:
    """(suspendTime, expirationTime) in seconds since the epoch."""
    status = plan(world).status
    moments = (status.suspend_time, status.expiration_time)
    return tuple(moment.timestamp() if moment else None for moment in moments)  # type: ignore[return-value]


class TestWarning:
    def test_an_hour_before_the_end(self) -> None:
        early = asleep(last_activity=NOW - DAY + HOUR + 1)
        assert plan(early).actions == ()
        assert plan(early).requeue_at == NOW + 1
        due = asleep(last_activity=NOW - DAY + HOUR)
        assert plan(due).actions == (WarnOfEnd(int(NOW + HOUR)),)
        assert times(due)[1] == NOW + HOUR

    def test_once_per_end(self) -> None:
        world = asleep(**told(NOW - DAY + HOUR))
        assert plan(world).actions == ()
        assert plan(world).requeue_at == NOW + HOUR
        # A message or a keep came, and another day went by.
        later = asleep(**told(NOW - 2 * DAY) | {"last_activity": NOW - DAY + HOUR})
        assert plan(later).actions == (WarnOfEnd(int(NOW + HOUR)),)

    def test_then_the_session_is_deleted(self) -> None:
        assert plan(asleep(**told(NOW - DAY))).actions == (DeleteSession("7"),)

    def test_zero_is_none(self) -> None:
        session = make_session(age=DAY + 1, idlePolicy={"warnBeforeDeleteSeconds": 0})
        assert plan(asleep(session, last_activity=NOW - DAY + 1)).actions == ()
        assert plan(asleep(session, last_activity=NOW - DAY)).actions == (DeleteSession("7"),)

    @pytest.mark.parametrize(
        ("policy", "lead"),
        [
            ({"deleteAfterSeconds": 700}, 200),
            ({"deleteAfterSeconds": 7_200}, 3_450),
            ({"deleteAfterSeconds": 7_201, "warnBeforeDeleteSeconds": 60}, 60),
            ({"deleteAfterSeconds": 10, "suspendAfterSeconds": 0}, 5),
        ],
    )
    def test_at_most_half_of_the_idle_time_before(self, policy: dict[str, int], lead: int) -> None:
        session = make_session(age=DAY, idlePolicy=policy)
        end = NOW + lead
        start = end - policy["deleteAfterSeconds"]
        assert plan(asleep(session, last_activity=start)).actions == (WarnOfEnd(int(end)),)
        assert plan(asleep(session, last_activity=start + 1)).actions == ()

    @pytest.mark.parametrize("busy", [{"waiting": 1}, {"turn": TURN}])
    def test_never_with_work_in_hand(self, busy: dict[str, Any]) -> None:
        world = make_live_world(
            make_session(age=2 * DAY),
            mailbox=replace(EMPTY, run=make_run(), last_activity=NOW - DAY, **busy),
        )
        assert plan(world).actions == ()
        assert plan(world).status.expiration_time is None

    def test_a_late_one_puts_the_end_off(self) -> None:
        """No operator ran when it was due: the time between the two is a promise."""
        never_told = asleep(last_activity=NOW - DAY - 10)
        assert plan(never_told).actions == (WarnOfEnd(int(NOW - 10)),)
        late = told(NOW - DAY - 10, late=HOUR - 100)
        world = asleep(**late)
        assert plan(world).actions == ()
        assert times(world)[1] == late["warned_at"] + HOUR == plan(world).requeue_at
        over = asleep(**told(NOW - DAY - HOUR, late=HOUR))
        assert plan(over).actions == (DeleteSession("7"),)

    def test_a_session_without_the_mailbox_has_no_end(self) -> None:
        world = replace(asleep(last_activity=NOW - DAY), holds_mailbox=False)
        assert plan(world).actions == ()
        assert times(world) == (None, None)

    def test_says_what_goes_and_how_it_stays(self) -> None:
        end = int(NOW + HOUR)
        at = datetime.fromtimestamp(end, UTC)
        world = asleep()
        assert "files" in warning_text(world, end)
        assert f"{at:%Y-%m-%d %H:%M} UTC" in warning_text(world, end)
        assert "Send any message" in warning_text(world, end)
        assert "kubectl agents keep" in expiry_text(world, end)
        retained = asleep(make_session(workspace={"retentionPolicy": {"whenDeleted": "Retain"}}))
        assert "files" not in warning_text(retained, end)

    def test_a_lifetime_cannot_be_kept(self) -> None:
        session = make_session(age=HOUR, run={"maxLifetimeSeconds": 2 * HOUR})
        world = asleep(session)
        end = int(NOW + HOUR)
        assert plan(world).actions == (WarnOfEnd(end),)
        assert "lifetime" in warning_text(world, end)
        assert "maxLifetimeSeconds" in expiry_text(world, end)


class TestTheNextThing:
    """suspendTime and expirationTime in every state of a session."""

    def test_idle_and_awake(self) -> None:
        assert times(make_live_world()) == (NOW + 300, NOW + DAY)

    def test_working(self) -> None:
        mailbox = replace(EMPTY, run=make_run(), turn=TURN, waiting=1)
        assert times(make_live_world(mailbox=mailbox)) == (None, None)
        session = make_session(age=10, run={"maxLifetimeSeconds": 100})
        assert times(make_live_world(session, mailbox=mailbox)) == (None, NOW + 90)

    def test_the_run_is_too_old_before_it_is_idle(self) -> None:
        old = make_run(begun_at=NOW - 43_200 + 1_800 + 60)
        assert times(make_live_world(mailbox=replace(EMPTY, run=old)))[0] == NOW + 60

    def test_the_lifetime_ends_before_the_idle_time(self) -> None:
        session = make_session(age=10, run={"maxLifetimeSeconds": 100})
        assert times(make_live_world(session)) == (NOW + 90, NOW + 90)

    def test_ending(self) -> None:
        drained = make_run(state=RunState.DRAINED, drained_at=NOW)
        assert times(make_live_world(mailbox=replace(EMPTY, run=drained))) == (None, NOW + DAY)

    def test_asleep_by_itself_and_by_hand(self) -> None:
        assert times(asleep()) == (None, NOW + DAY)
        by_hand = make_session(operatingMode="Suspended")
        assert times(asleep(by_hand)) == (None, NOW + DAY)
        # What waits is work: it is not deleted, whatever the time.
        assert times(asleep(by_hand, waiting=1)) == (None, None)

    def test_failed(self) -> None:
        refused = make_session(templateRef={"name": "nope"})
        assert times(asleep(refused)) == (None, NOW + DAY)
        assert times(asleep(refused, waiting=1)) == (None, None)

    def test_going(self) -> None:
        session = make_session(metadata={"deletionTimestamp": "2027-01-15T08:00:00Z"})
        assert times(asleep(session)) == (None, None)

    def test_a_keep_alone_is_written(self) -> None:
        before = plan(asleep(last_activity=NOW - DAY + 2)).status
        after = plan(asleep(last_activity=NOW)).status
        assert write_delay(before, after, NOW, 0.0, NOW) == 0


class TestWhyItSleeps:
    def state(self, **run: Any) -> World:
        record = make_run(state=RunState.DRAINED, bye_at=NOW, **run)
        return make_world(mailbox=replace(EMPTY, run=record), children=Children(claim=make_claim()))

    @pytest.mark.parametrize(
        "why",
        [
            Reason.IDLE,
            Reason.OUTDATED,
            Reason.RUN_DEADLINE_NEAR,
            Reason.LIFETIME_OVER,
            Reason.SUSPENDED_BY_USER,
            Reason.TURN_TIMED_OUT,
        ],
    )
    def test_the_reason_of_the_last_end(self, why: Reason) -> None:
        found, message = verdict(self.state(why=why.value), "Suspended")
        assert found is why
        assert message

    def test_a_word_of_another_release(self) -> None:
        assert verdict(self.state(why="Whatever"), "Suspended")[0] is Reason.IDLE

    def test_a_run_that_was_taken_away(self) -> None:
        world = make_world(
            mailbox=replace(EMPTY, run=make_run()),
            children=Children(
                jobs=(make_job(failed_reason="BackoffLimitExceeded"),),
                pods=(make_pod(phase="Failed", disruption="EvictionByEvictionAPI"),),
                claim=make_claim(),
            ),
        )
        assert verdict(world, "Suspended")[0] is Reason.RUN_EVICTED

    def test_a_lifetime_that_is_over(self) -> None:
        live = make_live_world(make_session(age=101, run={"maxLifetimeSeconds": 100}))
        drain = Drain(f"{UID}/1", force=False, why=Reason.LIFETIME_OVER)
        assert drain in plan(live).actions


class TestRedisLostItsState:
    def rebuilt(self, **mailbox: Any) -> MailboxState:
        return replace(EMPTY, rebuilt_at=NOW - 10, last_activity=NOW - 2 * DAY, **mailbox)

    def test_nothing_ends_because_of_it(self) -> None:
        """The message that would have kept the session may be the one that was lost."""
        assert times(make_world(make_session(age=3 * DAY), mailbox=self.rebuilt()))[1] == (
            NOW - 10 + DAY
        )
        live = make_live_world(make_session(age=3 * DAY), mailbox=self.rebuilt(run=make_run()))
        assert plan(live).actions == ()
        assert times(live) == (NOW - 10 + 300, NOW - 10 + DAY)

    def test_is_said_for_an_hour_or_until_a_turn_has_ended(self) -> None:
        world = make_world(mailbox=self.rebuilt())
        assert verdict(world, "Degraded")[0] is Reason.REDIS_STATE_LOST
        assert plan(world).requeue_at == NOW - 10 + STATE_LOST_SECONDS
        over = replace(world, mailbox=replace(EMPTY, rebuilt_at=NOW - STATE_LOST_SECONDS))
        assert verdict(over, "Degraded")[0] is Reason.HEALTHY
        answered = make_world(mailbox=self.rebuilt(last=turn_at(NOW - 5)))
        assert verdict(answered, "Degraded")[0] is Reason.HEALTHY
        before = make_world(mailbox=self.rebuilt(last=turn_at(NOW - 50)))
        assert verdict(before, "Degraded")[0] is Reason.REDIS_STATE_LOST

    def test_a_lost_message_is_told(self) -> None:
        world = make_world(mailbox=self.rebuilt(lost_message="m7"))
        assert plan(world).actions == (TellLost("m7"),)

    def test_status_never_goes_back(self) -> None:
        """Redis was restored from an older file: what status says of the newest turn is newer."""
        session = make_session(
            status={
                "lastHandledMessageID": "m9",
                "lastHandledEntryID": "900-0",
                "lastTurn": {"source": "telegram", "outcome": "Succeeded"},
            }
        )
        old = replace(EMPTY, last=replace(turn_at(NOW - 50), entry="800-1"))
        status = plan(make_world(session, mailbox=old)).status
        assert status.last_handled_message_id == "m9"
        assert status.last_handled_entry_id == "900-0"
        assert status.last_turn == session.status.last_turn
        new = replace(EMPTY, last=replace(turn_at(NOW), entry="1000-0"))
        status = plan(make_world(session, mailbox=new)).status
        assert (status.last_handled_message_id, status.last_handled_entry_id) == ("m1", "1000-0")


def turn_at(finished_at: float) -> LastTurnRecord:
    return LastTurnRecord(
        turn="t1",
        run=f"{UID}/1",
        source="telegram",
        outcome=TurnOutcome.SUCCEEDED,
        reply="",
        error_code="",
        error_message="",
        model_status=None,
        started_at=finished_at - 1,
        finished_at=finished_at,
        message_id="m1",
    )
