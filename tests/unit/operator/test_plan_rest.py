"""Suspension and deletion as a table: what is known → what is done."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentsession_core.api import Phase, Reason
from agentsession_core.mailbox.model import RunState
from agentsession_operator.plan import plan
from agentsession_operator.world import (
    DeleteJob,
    DeleteSession,
    Drain,
    EndRun,
    KeepRun,
    ReopenMailbox,
)
from agentsession_testing.operator_worlds import (
    EMPTY,
    KNOWN,
    NOW,
    TURN,
    UID,
    make_live_world,
    make_run,
    make_session,
    make_world,
)


class TestSuspend:
    def test_idle_run_is_kept_and_looked_at_in_time(self) -> None:
        decided = plan(make_live_world())
        assert decided.actions == ()
        assert decided.status.phase is Phase.IDLE
        assert decided.requeue_at == NOW + 300

    def test_idle_run_is_drained_in_time(self) -> None:
        mailbox = replace(EMPTY, run=make_run(), last_activity=NOW - 300)
        world = make_live_world(make_session(age=400), mailbox=mailbox)
        assert plan(world).actions == (Drain(f"{UID}/1", force=False, why=Reason.IDLE),)

    def test_zero_means_right_after_the_turn(self) -> None:
        world = make_live_world(make_session(idlePolicy={"suspendAfterSeconds": 0}))
        assert plan(world).actions == (Drain(f"{UID}/1", force=False, why=Reason.IDLE),)

    @pytest.mark.parametrize("busy", [{"waiting": 1}, {"turn": TURN}])
    def test_never_while_there_is_work(self, busy: dict[str, object]) -> None:
        mailbox = replace(EMPTY, run=make_run(), last_activity=NOW - 9999, **busy)  # type: ignore[arg-type]
        world = make_live_world(make_session(age=9999), mailbox=mailbox)
        assert plan(world).actions == ()

    def test_by_hand_ends_although_messages_wait_but_not_in_a_turn(self) -> None:
        session = make_session(operatingMode="Suspended")
        waiting = replace(KNOWN, run=make_run())
        drain = Drain(f"{UID}/1", force=True, why=Reason.SUSPENDED_BY_USER)
        assert plan(make_live_world(session, mailbox=waiting)).actions == (drain,)
        # In a turn the same action makes it the run's last.
        working = replace(waiting, turn=TURN)
        assert plan(make_live_world(session, mailbox=working)).actions == (drain,)
        told = replace(working, run=make_run(last_turn=True))
        assert plan(make_live_world(session, mailbox=told)).actions == ()

    def test_awake_again_before_the_turn_ended_the_run_is_kept(self) -> None:
        mailbox = replace(EMPTY, run=make_run(last_turn=True), waiting=1, turn=TURN)
        assert plan(make_live_world(mailbox=mailbox)).actions == (KeepRun(f"{UID}/1"),)

    def test_drained_run_that_stays_is_deleted_after_its_grace(self) -> None:
        drained = make_run(state=RunState.DRAINED, drained_at=NOW - 29)
        early = plan(make_live_world(mailbox=replace(EMPTY, run=drained)))
        assert early.actions == ()
        assert early.requeue_at == NOW + 1
        drained = make_run(state=RunState.DRAINED, drained_at=NOW - 30)
        late = plan(make_live_world(mailbox=replace(EMPTY, run=drained)))
        assert [type(action) for action in late.actions] == [EndRun, DeleteJob]

    def test_too_little_deadline_left_for_a_turn(self) -> None:
        old = make_run(begun_at=NOW - 43_200 + 1_800)
        world = make_live_world(mailbox=replace(EMPTY, run=old, waiting=1))
        drain = Drain(f"{UID}/1", force=True, why=Reason.RUN_DEADLINE_NEAR)
        assert plan(world).actions == (drain,)


class TestDelete:
    def test_idle_long_enough(self) -> None:
        mailbox = replace(EMPTY, last_activity=NOW - 86_400, warned=int(NOW), warned_at=NOW - 3_600)
        world = make_world(make_session(age=90_000), mailbox=mailbox)
        assert plan(world).actions == (DeleteSession("7"),)

    @pytest.mark.parametrize(
        "change",
        [
            {"last_activity": NOW - 86_399},
            {"waiting": 1},
            {"turn": TURN},
            {"epoch": None},
        ],
    )
    def test_not_before_and_not_with_work_and_not_when_redis_forgot(
        self, change: dict[str, object]
    ) -> None:
        mailbox = replace(EMPTY, **{"last_activity": NOW - 86_400, **change})  # type: ignore[arg-type]
        world = make_world(make_session(age=90_000), mailbox=mailbox)
        assert not [a for a in plan(world).actions if isinstance(a, DeleteSession)]

    def test_never_with_zero(self) -> None:
        session = make_session(age=9_999_999, idlePolicy={"deleteAfterSeconds": 0})
        world = make_world(session, mailbox=replace(EMPTY, last_activity=NOW - 9_999_999))
        assert plan(world).actions == ()
        assert plan(world).status.expiration_time is None

    def test_live_run_is_drained_first(self) -> None:
        mailbox = replace(
            EMPTY, run=make_run(), last_activity=NOW - 90_000, warned=int(NOW - 3_600)
        )
        world = make_live_world(make_session(age=90_000), mailbox=mailbox)
        assert plan(world).actions == (Drain(f"{UID}/1", force=False, why=Reason.IDLE),)

    def test_lifetime_ends_an_active_session_between_turns(self) -> None:
        session = make_session(age=101, run={"maxLifetimeSeconds": 100})
        told = replace(EMPTY, warned=int(NOW - 1), warned_at=NOW - 51)
        live = make_live_world(session, mailbox=replace(told, run=make_run()))
        assert plan(live).actions == (Drain(f"{UID}/1", force=False, why=Reason.LIFETIME_OVER),)
        asleep = make_world(session, mailbox=told)
        assert plan(asleep).actions == (DeleteSession("7"),)

    def test_mailbox_closed_for_a_deletion_that_did_not_happen_is_reopened(self) -> None:
        world = make_world(mailbox=replace(EMPTY, closed=True))
        assert plan(world).actions == (ReopenMailbox(),)
