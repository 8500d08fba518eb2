"""Places to run as a table: who waits, who yields, who gives back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agentsession_core.api import Phase, Reason
from agentsession_core.mailbox.model import FailureRecord, RunState
from agentsession_operator.model import Children
from agentsession_operator.plan import plan
from agentsession_operator.standing import holds_place
from agentsession_operator.world import (
    DeleteJob,
    Drain,
    EndRun,
    Place,
    World,
)
from agentsession_testing.operator_worlds import (
    EMPTY,
    NOW,
    TURN,
    UID,
    WAITING,
    make_claim,
    make_job,
    make_live_world,
    make_pod,
    make_run,
    make_session,
    make_world,
    reason,
    verdict,
)


class TestTheQueue:
    QUEUED = Place(free=False, position=3, waiting=12, places=50)

    def test_without_a_place_nothing_is_made_and_the_status_says_which_number(self) -> None:
        world = make_world(mailbox=WAITING, place=self.QUEUED)
        decided = plan(world)
        assert decided.actions == ()
        assert decided.status.phase is Phase.QUEUED
        assert decided.status.queue_position == 3
        found, message = verdict(world, "Ready")
        assert found is Reason.QUEUED
        assert "Number 3 of 12" in message
        assert "all places for runs of chats (50) are taken" in message

    def test_the_standing_is_that_of_the_oldest_message(self) -> None:
        mailbox = replace(WAITING, waiting_since=NOW - 77)
        assert plan(make_world(mailbox=mailbox)).standing.waits_since == NOW - 77

    @pytest.mark.parametrize(
        "world",
        [
            make_world(),
            make_live_world(),
            make_world(make_session(operatingMode="Suspended"), mailbox=WAITING),
            make_world(mailbox=WAITING, holds_mailbox=False),
            make_world(
                mailbox=replace(WAITING, failure=FailureRecord(1, f"{UID}/1", "RunFailed", NOW - 1))
            ),
            make_world(mailbox=WAITING, children=Children(pods=(make_pod(deleting=True),))),
        ],
        ids=["asleep", "live", "by-hand", "taken", "backing-off", "previous-run-ending"],
    )
    def test_who_could_not_start_does_not_wait(self, world: World) -> None:
        assert plan(world).standing.waits_since is None

    def test_an_idle_run_yields_although_its_time_is_not_over(self) -> None:
        world = make_live_world(place=Place(must_yield=True))
        assert plan(world).actions == (Drain(f"{UID}/1", force=False, why=Reason.YIELDED),)

    @pytest.mark.parametrize("busy", [{"waiting": 1}, {"turn": TURN}])
    def test_never_with_a_turn_or_a_message(self, busy: dict[str, Any]) -> None:
        mailbox = replace(EMPTY, run=make_run(), **busy)
        decided = plan(make_live_world(mailbox=mailbox, place=Place(must_yield=True)))
        assert decided.actions == ()
        assert decided.standing.idle_since is None

    def test_why_it_ended_is_said(self) -> None:
        drained = make_run(state=RunState.DRAINED, bye_at=NOW, why="Yielded")
        world = make_world(mailbox=replace(EMPTY, run=drained))
        assert reason(world, "Suspended") is Reason.YIELDED

    @pytest.mark.parametrize(
        ("children", "holds"),
        [
            (Children(), False),
            (Children(jobs=(make_job(),)), True),
            (Children(jobs=(make_job(),), pods=(make_pod(),)), True),
            (Children(jobs=(make_job(),), pods=(make_pod(terminated=True),)), False),
            (Children(jobs=(make_job(deleting=True),), pods=(make_pod(deleting=True),)), True),
            (Children(jobs=(make_job(complete=True),)), False),
            (Children(jobs=(make_job(),), pods=(make_pod(node_lost=True),)), False),
        ],
        ids=["none", "job", "pod", "ended", "deleting", "finished", "node-lost"],
    )
    def test_what_has_a_place(self, children: Children, holds: bool) -> None:
        assert holds_place(children) is holds


class TestARunThatCannotStart:
    def stuck(self, seconds: float, text: str = "0/1 nodes: Insufficient cpu.") -> World:
        pod = make_pod(phase="Pending", node=None, started=False, unschedulable=text)
        return make_live_world(
            mailbox=replace(WAITING, run=make_run(hello_at=None, begun_at=NOW - seconds)),
            children=Children(jobs=(make_job(),), pods=(pod,), claim=make_claim()),
        )

    def test_keeps_its_place_while_nobody_needs_it(self) -> None:
        decided = plan(self.stuck(61))
        assert decided.actions == ()
        assert decided.standing.stuck_since == NOW - 61

    def test_gives_it_back_to_others(self) -> None:
        world = replace(self.stuck(61), place=Place(must_yield=True))
        ended = plan(world).actions
        assert [type(action) for action in ended] == [EndRun, DeleteJob]
        assert isinstance(ended[0], EndRun)
        assert ended[0].reason is Reason.UNSCHEDULABLE
        assert ended[0].counted

    def test_but_not_before_its_time(self) -> None:
        decided = plan(replace(self.stuck(59), place=Place(must_yield=True)))
        assert decided.actions == ()
        assert decided.standing.stuck_since is None
        assert decided.requeue_at == NOW + 1

    def test_asks_for_room_if_that_is_what_it_lacks(self) -> None:
        assert plan(self.stuck(1)).standing.cramped == f"{UID}/1"
        affinity = "0/1 nodes: 1 node(s) didn't match Pod's node affinity/selector."
        assert plan(self.stuck(1, affinity)).standing.cramped is None

    def test_a_quota_is_such_a_lack_too(self) -> None:
        failure = FailureRecord(1, f"{UID}/1", "QuotaExceeded", NOW - 1)
        world = make_world(mailbox=replace(WAITING, failure=failure))
        assert plan(world).standing.cramped == f"{UID}/1"
