"""The life of a session as a table: what is known → what is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agentsession_core.api import AgentType, Phase, Reason
from agentsession_core.mailbox.model import FailureRecord, RunState
from agentsession_operator.model import Children
from agentsession_operator.plan import plan
from agentsession_operator.standing import holds_place
from agentsession_operator.world import (
    CreateClaim,
    DeleteJob,
    DeleteSession,
    Drain,
    EndRun,
    KeepRun,
    Place,
    ReopenMailbox,
    SetClaimOwner,
    StartRun,
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

# A message waits, and its sender knows that the session sleeps by hand.
KNOWN = replace(WAITING, held_told=True)


class TestWake:
    def test_nothing_waits_nothing_starts(self) -> None:
        decided = plan(make_world())
        assert decided.actions == ()
        assert decided.status.phase is Phase.SUSPENDED

    def test_first_message_makes_volume_and_run(self) -> None:
        decided = plan(make_world(mailbox=WAITING))
        assert decided.actions == (CreateClaim(), StartRun(1, "", resumes=False))
        assert decided.status.phase is Phase.STARTING
        assert decided.status.job_name == "anna-r1"
        assert decided.status.volume_claim_name == "anna-workspace"

    def test_idle_time_keeps_a_run_but_never_starts_one(self) -> None:
        fresh = replace(EMPTY, last_activity=NOW)
        assert plan(make_world(mailbox=fresh)).actions == ()

    def test_open_turn_without_a_run_is_work(self) -> None:
        decided = plan(
            make_world(
                mailbox=replace(
                    EMPTY, turn=replace(TURN, run=f"{UID}/0"), run=make_run(hello_at=None)
                )
            )
        )
        assert decided.actions[-1] == StartRun(1, f"{UID}/1", resumes=False)

    @pytest.mark.parametrize(
        ("status_runs", "job_run", "redis_run", "expected"),
        [(0, None, None, 1), (4, None, None, 5), (1, 7, None, 8), (1, None, 9, 10)],
    )
    def test_run_number_is_above_every_known_one(
        self, status_runs: int, job_run: int | None, redis_run: int | None, expected: int
    ) -> None:
        jobs = (make_job(job_run, complete=True),) if job_run else ()
        run = make_run(redis_run, state=RunState.DRAINED, bye_at=NOW) if redis_run else None
        world = make_world(
            make_session(status={"runs": status_runs}),
            mailbox=replace(WAITING, run=run),
            children=Children(jobs=jobs, claim=make_claim()),
        )
        starts = [a for a in plan(world).actions if isinstance(a, StartRun)]
        assert [start.run for start in starts] == [expected]

    def test_a_pinned_agent_type_is_said_and_does_not_stop_the_session(self) -> None:
        world = make_world(mailbox=WAITING, ignored_type=AgentType.CODEX)
        assert StartRun(1, "", resumes=False) in plan(world).actions
        assert reason(world, "Accepted") is Reason.AGENT_TYPE_PINNED

    def test_unfit_skills_are_said_and_do_not_stop_the_session(self) -> None:
        world = make_live_world()
        run = make_run(skill_problem="there is no ConfigMap gone")
        with_problem = replace(world, mailbox=replace(world.mailbox, run=run))
        assert reason(world, "Accepted") is Reason.VALID
        assert reason(with_problem, "Accepted") is Reason.SKILLS_UNFIT
        assert plan(with_problem).actions == plan(world).actions
        of_another = replace(run, run="another/1")
        without = replace(world, mailbox=replace(world.mailbox, run=of_another))
        assert reason(without, "Accepted") is Reason.VALID

    def test_conversation_known_means_resume(self) -> None:
        world = make_world(mailbox=replace(WAITING, agent_session_id="abc"))
        assert plan(world).status.launch_type == "resume"

    def test_run_of_an_earlier_session_is_replaced_by_equality(self) -> None:
        foreign = make_run(run="other-uid/3")
        decided = plan(make_world(mailbox=replace(WAITING, run=foreign)))
        assert StartRun(1, "other-uid/3", resumes=False) in decided.actions

    def test_suspended_by_hand_keeps_messages_waiting(self) -> None:
        world = make_world(make_session(operatingMode="Suspended"), mailbox=KNOWN)
        decided = plan(world)
        assert decided.actions == ()
        assert reason(world, "Suspended") is Reason.SUSPENDED_BY_USER

    def test_second_session_of_a_mailbox_never_runs(self) -> None:
        world = make_world(mailbox=WAITING, holds_mailbox=False)
        assert plan(world).actions == ()
        assert reason(world, "Ready") is Reason.MAILBOX_TAKEN

    def test_deleted_session_is_left_alone(self) -> None:
        session = make_session(metadata={"deletionTimestamp": "2027-01-15T08:00:00Z"})
        decided = plan(make_world(session, mailbox=WAITING))
        assert decided.actions == ()
        assert decided.status.phase is Phase.TERMINATING


class TestTwoPodsNeverShareAWorkspace:
    @pytest.mark.parametrize(
        "pod",
        [
            make_pod(),
            make_pod(deleting=True),
            make_pod(phase="Unknown", node_lost=True),
            make_pod(session_uid="an-earlier-session"),
            make_pod(phase="Pending", started=False),
        ],
    )
    def test_next_run_waits_for_every_container(self, pod: object) -> None:
        children = Children(pods=(pod,), claim=make_claim())  # type: ignore[arg-type]
        world = make_world(mailbox=WAITING, children=children)
        assert not [a for a in plan(world).actions if isinstance(a, StartRun)]

    @pytest.mark.parametrize(
        "pod",
        [
            make_pod(phase="Succeeded"),
            make_pod(phase="Failed"),
            make_pod(terminated=True),
            make_pod(phase="Pending", node=None, deleting=True, started=False),
        ],
    )
    def test_ended_pods_do_not_block(self, pod: object) -> None:
        children = Children(pods=(pod,), claim=make_claim())  # type: ignore[arg-type]
        drained = make_run(state=RunState.DRAINED, bye_at=NOW)
        world = make_world(mailbox=replace(WAITING, run=drained), children=children)
        assert StartRun(2, f"{UID}/1", resumes=False) in plan(world).actions

    def test_lost_node_is_named(self) -> None:
        lost = make_pod(phase="Running", node_lost=True, deleting=True)
        world = make_world(
            mailbox=replace(WAITING, run=make_run()),
            children=Children(pods=(lost,), claim=make_claim()),
        )
        assert reason(world, "Ready") is Reason.NODE_LOST

    @pytest.mark.parametrize(
        ("claim", "expected"),
        [
            (make_claim(deleting=True), Reason.PREVIOUS_WORKSPACE_TERMINATING),
            (make_claim(owner_uid="earlier"), Reason.PREVIOUS_WORKSPACE_TERMINATING),
            (make_claim(user="43", owner_uid=None), Reason.WORKSPACE_CONFLICT),
            (make_claim(phase="Lost"), Reason.VOLUME_LOST),
        ],
    )
    def test_foreign_volume_is_never_used(self, claim: object, expected: Reason) -> None:
        world = make_world(mailbox=WAITING, children=Children(claim=claim))  # type: ignore[arg-type]
        assert plan(world).actions == ()
        assert reason(world, "WorkspaceReady") is expected

    def test_retained_volume_of_the_same_user_is_adopted(self) -> None:
        world = make_world(mailbox=WAITING, children=Children(claim=make_claim(owner_uid=None)))
        assert SetClaimOwner("anna-workspace", "claim-1", owned=True) in plan(world).actions
        assert StartRun(1, "", resumes=False) in plan(world).actions

    def test_retain_takes_the_owner_away(self) -> None:
        session = make_session(workspace={"retentionPolicy": {"whenDeleted": "Retain"}})
        world = make_world(session, children=Children(claim=make_claim()))
        assert plan(world).actions == (SetClaimOwner("anna-workspace", "claim-1", owned=False),)


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


class TestSettingsThatCannotBeCarriedOut:
    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            ({"templateRef": {"name": "nope"}}, Reason.TEMPLATE_NOT_FOUND),
            ({"idlePolicy": {"deleteAfterSeconds": 60}}, Reason.INVALID_IDLE_POLICY),
            ({"run": {"turnTimeoutSeconds": 50_000}}, Reason.INVALID_RUN_POLICY),
            ({"agent": {"type": "droid"}}, Reason.AGENT_TYPE_UNAVAILABLE),
        ],
    )
    def test_are_refused_with_a_reason(self, spec: dict[str, Any], expected: Reason) -> None:
        world = make_world(make_session(**spec), mailbox=WAITING)
        assert plan(world).actions == ()
        assert reason(world, "Accepted") is expected
        assert plan(world).status.phase is Phase.FAILED


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
