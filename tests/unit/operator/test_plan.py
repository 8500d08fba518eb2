"""The life of a session as a table: what is known → what is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agentsession_core.api import AgentType, Phase, Reason
from agentsession_core.mailbox.model import RunState
from agentsession_operator.model import Children
from agentsession_operator.plan import plan
from agentsession_operator.world import (
    CreateClaim,
    SetClaimOwner,
    StartRun,
)
from agentsession_testing.operator_worlds import (
    EMPTY,
    KNOWN,
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
)


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
