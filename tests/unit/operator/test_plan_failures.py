"""Every way a run can go wrong as a table: what is known → what is done and what a person reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agentsession_core.api import Phase, Reason
from agentsession_core.mailbox.model import FailureRecord, RunState
from agentsession_operator.model import Children
from agentsession_operator.plan import plan
from agentsession_operator.world import (
    ConfirmGone,
    CountFailure,
    CreateClaim,
    DeleteJob,
    EndRun,
    EndTurn,
    Problem,
    Refusal,
    StartRun,
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

RUN = f"{UID}/1"
STARTING = replace(WAITING, run=make_run(hello_at=None))
COMPLAINT = Problem(Reason.VOLUME_STUCK, "PersistentVolumeClaim anna-workspace: no such driver")


def children(pod: Any = None, job: Any = None, claim: Any = None) -> Children:
    return Children(
        jobs=(job,) if job else (), pods=(pod,) if pod else (), claim=claim or make_claim()
    )


class TestRunsThatEndBeforeTheirTime:
    @pytest.mark.parametrize(
        ("pod", "job", "expected"),
        [
            (make_pod(terminated=True, exit_code=1), make_job(), Reason.RUN_FAILED),
            (make_pod(terminated=True, exit_code=0), make_job(), Reason.RUN_FAILED),
            (
                make_pod(terminated=True, exit_code=137, exit_reason="OOMKilled"),
                make_job(),
                Reason.RUN_OUT_OF_MEMORY,
            ),
            (
                make_pod(phase="Failed"),
                make_job(failed_reason="DeadlineExceeded"),
                Reason.RUN_DEADLINE_EXCEEDED,
            ),
            (
                make_pod(
                    phase="Failed",
                    disruption="TerminationByKubelet",
                    end_message='Usage of EmptyDir volume "tmp" exceeds the limit "1Gi". ',
                ),
                make_job(),
                Reason.RUN_EVICTED,
            ),
            (None, None, Reason.RUN_FAILED),
        ],
    )
    def test_are_counted_with_their_reason(self, pod: Any, job: Any, expected: Reason) -> None:
        world = make_world(mailbox=replace(WAITING, run=make_run()), children=children(pod, job))
        *looks, action = plan(world).actions
        # What no watch shows may still be there: only a pod that was seen to end is taken as ended.
        assert looks == ([] if pod else [ConfirmGone()])
        assert isinstance(action, CountFailure)
        assert (action.run, action.reason) == (RUN, expected)
        degraded, message = verdict(world, "Degraded")
        assert (degraded, message) == (expected, action.message)

    @pytest.mark.parametrize(
        "pod",
        [
            make_pod(terminated=True, exit_code=0, deleting=True),
            make_pod(phase="Failed", disruption="EvictionByEvictionAPI"),
            make_pod(terminated=True, disruption="PreemptionByScheduler"),
            make_pod(terminated=True, exit_code=143, disruption="DeletionByTaintManager"),
        ],
    )
    def test_what_others_took_away_starts_again_at_once(self, pod: Any) -> None:
        world = make_world(
            mailbox=replace(WAITING, run=make_run()),
            children=children(pod, make_job(complete=True)),
        )
        assert plan(world).actions == (StartRun(2, RUN, resumes=False),)

    @pytest.mark.parametrize(("count", "delay"), [(1, 2), (2, 4), (5, 32), (20, 300)])
    def test_next_start_backs_off(self, count: int, delay: int) -> None:
        failure = FailureRecord(count, RUN, "RunOutOfMemory", NOW - delay + 1, "it was too much")
        mailbox = replace(WAITING, run=make_run(), failure=failure)
        world = make_world(mailbox=mailbox, children=children())
        decided = plan(world)
        assert decided.actions == ()
        assert decided.requeue_at == NOW + 1
        assert decided.status.phase is Phase.FAILED
        ready, message = verdict(world, "Ready")
        assert ready is Reason.RUN_OUT_OF_MEMORY
        assert message.startswith("it was too much")
        assert "the next try is at " in message
        due = replace(mailbox, failure=replace(failure, at=NOW - delay))
        assert StartRun(2, RUN, resumes=False) in plan(replace(world, mailbox=due)).actions

    def test_a_failure_is_said_until_a_turn_ends_well(self) -> None:
        failure = FailureRecord(1, RUN, "RunFailed", NOW - 999, "exit code 1")
        mailbox = replace(EMPTY, run=make_run(2), failure=failure)
        assert verdict(make_live_world(mailbox=mailbox), "Degraded") == (
            Reason.RUN_FAILED,
            "exit code 1",
        )

    def test_a_reason_of_a_newer_release_is_not_understood_and_still_said(self) -> None:
        failure = FailureRecord(1, RUN, "NeverHeardOf", NOW, "words")
        world = make_world(mailbox=replace(WAITING, run=make_run(), failure=failure))
        assert verdict(world, "Ready")[0] is Reason.BACKING_OFF
        assert verdict(world, "Ready")[1].startswith("words")

    def test_crash_between_record_and_job_costs_nothing(self) -> None:
        orphan = make_run(hello_at=None, pod=None, pod_uid=None)
        world = make_world(mailbox=replace(WAITING, run=orphan), children=children())
        # The same number: whoever else makes its Job just now makes the same one.
        assert plan(world).actions == (ConfirmGone(), StartRun(1, RUN, resumes=False))

    def test_a_start_that_came_to_nothing_long_ago_gets_another_number(self) -> None:
        orphan = make_run(hello_at=None, pod=None, pod_uid=None, begun_at=NOW - 60)
        world = make_world(mailbox=replace(WAITING, run=orphan), children=children())
        assert plan(world).actions == (ConfirmGone(), StartRun(2, RUN, resumes=False))

    def test_a_start_that_counts_as_failed_gets_another_number(self) -> None:
        failure = FailureRecord(1, RUN, "RunFailed", NOW - 999, "")
        orphan = make_run(hello_at=None, pod=None, pod_uid=None)
        world = make_world(mailbox=replace(WAITING, run=orphan, failure=failure))
        assert plan(world).actions[-1] == StartRun(2, RUN, resumes=False)

    def test_a_pod_that_was_seen_to_end_is_not_asked_for(self) -> None:
        ended = children(make_pod(phase="Succeeded"), make_job(complete=True))
        left = replace(WAITING, run=make_run(state=RunState.DRAINED, drained_at=NOW - 2))
        assert plan(make_world(mailbox=left, children=ended)).actions == (
            StartRun(2, RUN, resumes=False),
        )


class TestRunsThatMustBeEnded:
    def test_silent_runner_is_counted_from_its_containers_start(self) -> None:
        silent = replace(WAITING, run=make_run(hello_at=None, begun_at=NOW - 900))
        young = children(make_pod(started_at=NOW - 119), make_job())
        world = make_live_world(mailbox=silent, children=young)
        assert plan(world).actions == ()
        assert plan(world).requeue_at == NOW + 1
        old = children(make_pod(started_at=NOW - 120), make_job())
        end, delete = plan(make_live_world(mailbox=silent, children=old)).actions
        assert isinstance(end, EndRun)
        assert (end.run, end.reason, end.counted) == (RUN, Reason.RUNNER_SILENT, True)
        assert delete == DeleteJob("anna-r1", "job-1")

    def test_a_hello_that_redis_forgot_has_its_whole_time_again(self) -> None:
        """The run of an hour ago is alive: its runner is about to be heard of again."""
        forgotten = replace(EMPTY, run=make_run(hello_at=None, begun_at=NOW - 3600))
        old = children(make_pod(started_at=NOW - 3590), make_job())
        world = make_live_world(mailbox=replace(forgotten, rebuilt_at=NOW - 119), children=old)
        assert plan(world).actions == ()
        assert plan(world).requeue_at == NOW + 1
        silent = make_live_world(mailbox=replace(forgotten, rebuilt_at=NOW - 120), children=old)
        assert [type(action) for action in plan(silent).actions] == [EndRun, DeleteJob]

    def test_settings_mended_before_hello_replace_the_run(self) -> None:
        stuck = make_pod(phase="Pending", started=False, waiting_reason="ErrImagePull")
        world = make_live_world(
            mailbox=STARTING, children=children(stuck, make_job(config_hash="of-no-image"))
        )
        end, delete = plan(world).actions
        assert isinstance(end, EndRun)
        assert (end.reason, end.counted) == (Reason.OUTDATED, False)
        assert isinstance(delete, DeleteJob)

    def test_turn_over_its_timeout_is_written_down_half_a_minute_later(self) -> None:
        late = replace(TURN, deadline=NOW - 29)
        world = make_live_world(mailbox=replace(EMPTY, run=make_run(), turn=late))
        assert plan(world).actions == ()
        assert plan(world).requeue_at == NOW + 1
        later = replace(late, deadline=NOW - 30)
        world = make_live_world(mailbox=replace(EMPTY, run=make_run(), turn=later))
        turn, end, delete = plan(world).actions
        assert isinstance(turn, EndTurn)
        assert (turn.run, turn.turn) == (RUN, "t1")
        assert isinstance(end, EndRun)
        assert not end.counted
        assert isinstance(delete, DeleteJob)

    def test_a_dead_runs_turn_is_not_the_next_runs_lateness(self) -> None:
        left = replace(TURN, deadline=NOW - 600)
        starting = make_run(2, hello_at=None)
        world = make_live_world(
            mailbox=replace(WAITING, run=starting, turn=left),
            children=children(make_pod(2), make_job(2)),
        )
        assert plan(world).actions == ()

    def test_a_run_that_is_being_ended_loses_its_job(self) -> None:
        ended = make_run(state=RunState.ENDED, why="RunnerSilent")
        world = make_live_world(mailbox=replace(WAITING, run=ended))
        assert plan(world).actions == (DeleteJob("anna-r1", "job-1"),)
        assert reason(world, "Ready") is Reason.DRAINING

    def test_after_it_the_next_one_starts_when_its_backoff_is_over(self) -> None:
        ended = make_run(state=RunState.ENDED, why="RunnerSilent")
        failure = FailureRecord(1, RUN, "RunnerSilent", NOW - 2, "silence")
        world = make_world(
            mailbox=replace(WAITING, run=ended, failure=failure),
            children=children(make_pod(terminated=True, exit_code=137, deleting=True)),
        )
        assert plan(world).actions == (StartRun(2, RUN, resumes=False),)

    def test_a_claim_that_was_deleted_before_the_start_is_made_anew(self) -> None:
        pod = make_pod(phase="Pending", started=False, unschedulable="claim not found")
        world = make_live_world(
            mailbox=STARTING, children=Children(jobs=(make_job(),), pods=(pod,))
        )
        end, delete = plan(world).actions
        assert isinstance(end, EndRun)
        assert end.reason is Reason.VOLUME_LOST
        assert isinstance(delete, DeleteJob)
        due = replace(WAITING, run=make_run(state=RunState.ENDED))
        assert CreateClaim() in plan(make_world(mailbox=due)).actions

    @pytest.mark.parametrize("kind", [Reason.QUOTA_EXCEEDED, Reason.POD_REFUSED])
    def test_a_refused_pod_is_tried_again_as_the_next_run(self, kind: Reason) -> None:
        # The Job controller would try again, too: minutes later.
        complaint = Problem(kind, "Job anna-r1: no")
        world = make_live_world(
            mailbox=STARTING, children=children(job=make_job()), complaint=complaint
        )
        end, delete = plan(world).actions
        assert end == EndRun(RUN, kind, "Job anna-r1: no", counted=True)
        assert isinstance(delete, DeleteJob)


class TestStartsThatHang:
    @pytest.mark.parametrize(
        ("pod", "expected"),
        [
            ({"waiting_reason": "ImagePullBackOff"}, Reason.IMAGE_PULL_FAILED),
            ({"unschedulable": "0/1 nodes"}, Reason.UNSCHEDULABLE),
            ({"waiting_reason": "CreateContainerError"}, Reason.CONTAINER_CANNOT_START),
            ({}, Reason.WAITING_FOR_POD),
            ({"phase": "Running", "started": True}, Reason.WAITING_FOR_RUNNER),
        ],
    )
    def test_say_why_and_are_looked_at_again(self, pod: dict[str, Any], expected: Reason) -> None:
        hanging = make_pod(**{"phase": "Pending", "started": False, **pod})
        world = make_live_world(mailbox=STARTING, children=children(hanging, make_job()))
        decided = plan(world)
        assert decided.actions == ()
        assert reason(world, "Ready") is expected
        assert decided.requeue_at == NOW + 3

    def test_a_first_start_waits_for_its_volume_and_that_is_no_trouble(self) -> None:
        pod = make_pod(
            phase="Pending",
            started=False,
            unschedulable="0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims",
        )
        world = make_live_world(
            mailbox=STARTING, children=children(pod, make_job(), make_claim(phase="Pending"))
        )
        assert reason(world, "Ready") is Reason.WAITING_FOR_WORKSPACE
        assert plan(world).status.phase is Phase.STARTING
        bound = replace(world, children=children(pod, make_job()))
        assert reason(bound, "Ready") is Reason.UNSCHEDULABLE

    def test_say_what_kubernetes_says(self) -> None:
        pod = make_pod(phase="Pending", started=False, unschedulable="unbound volume")
        world = make_live_world(
            mailbox=STARTING,
            children=children(pod, make_job(), make_claim(phase="Pending")),
            complaint=COMPLAINT,
        )
        expected = (COMPLAINT.reason, COMPLAINT.message)
        assert verdict(world, "Ready") == expected
        assert verdict(world, "WorkspaceReady") == expected
        assert plan(world).status.phase is Phase.FAILED
        assert plan(world).actions == ()

    def test_are_asked_about_ever_more_seldom(self) -> None:
        for waited, expected in ((1, 3), (20, 10), (900, 60)):
            run = make_run(hello_at=None, begun_at=NOW - waited)
            pod = make_pod(phase="Pending", started=False)
            world = make_live_world(
                mailbox=replace(WAITING, run=run), children=children(pod, make_job())
            )
            assert plan(world).requeue_at == NOW + expected


class TestLostNodes:
    def test_a_live_run_on_one_is_not_ready_and_not_replaced(self) -> None:
        world = make_live_world(
            mailbox=replace(WAITING, run=make_run()),
            children=children(make_pod(node_lost=True), make_job()),
        )
        ready, message = verdict(world, "Ready")
        assert ready is Reason.NODE_LOST
        assert "node.kubernetes.io/out-of-service" in message
        assert plan(world).actions == ()

    def test_nor_when_its_pod_is_to_be_deleted(self) -> None:
        going = make_pod(node_lost=True, deleting=True, disruption="DeletionByTaintManager")
        world = make_live_world(
            mailbox=replace(WAITING, run=make_run()),
            children=children(going, make_job(failed_reason="BackoffLimitExceeded")),
        )
        assert plan(world).actions == ()
        assert reason(world, "Ready") is Reason.NODE_LOST


class TestRefusedByTheApiServer:
    REFUSAL = Refusal(Problem(Reason.QUOTA_EXCEEDED, "exceeded quota: small"), NOW + 8)

    def test_is_said_with_the_time_of_the_next_try(self) -> None:
        world = make_world(mailbox=WAITING, refused=self.REFUSAL)
        decided = plan(world)
        assert decided.actions == ()
        assert decided.requeue_at == NOW + 8
        assert decided.status.phase is Phase.FAILED
        ready, message = verdict(world, "Ready")
        assert ready is Reason.QUOTA_EXCEEDED
        assert message == "exceeded quota: small; the next try is at 08:00:08 UTC"
        assert reason(world, "WorkspaceReady") is Reason.QUOTA_EXCEEDED

    def test_stops_nothing_that_lives(self) -> None:
        world = make_live_world(refused=self.REFUSAL)
        assert reason(world, "Ready") is Reason.RUNNER_CONNECTED


class TestOutdatedRuns:
    OLD = Children(jobs=(make_job(config_hash="old"),), pods=(make_pod(),), claim=make_claim())

    def test_end_between_turns(self) -> None:
        decided = plan(make_live_world(children=self.OLD))
        (drain,) = decided.actions
        assert (drain.force, drain.why) == (True, Reason.OUTDATED)  # type: ignore[union-attr]
        assert decided.outdated

    def test_not_in_a_turn(self) -> None:
        mailbox = replace(EMPTY, run=make_run(), waiting=1, turn=TURN)
        decided = plan(make_live_world(children=self.OLD, mailbox=mailbox))
        assert decided.actions == ()
        assert decided.outdated

    def test_but_with_the_turn_when_more_waits_behind_it(self) -> None:
        mailbox = replace(EMPTY, run=make_run(), waiting=2, turn=TURN)
        (drain,) = plan(make_live_world(children=self.OLD, mailbox=mailbox)).actions
        assert drain.why is Reason.OUTDATED  # type: ignore[union-attr]

    def test_wait_for_their_turn_in_the_rollout(self) -> None:
        decided = plan(make_live_world(children=self.OLD, may_roll=False))
        assert decided.actions == ()
        assert decided.outdated
        assert reason(make_live_world(children=self.OLD, may_roll=False), "Ready") is (
            Reason.RUNNER_CONNECTED
        )

    def test_stay_when_the_new_settings_cannot_be_carried_out(self) -> None:
        session = make_session(agent={"type": "droid"})
        assert plan(make_live_world(session, children=self.OLD)).actions == ()

    def test_unfit_limits_do_not_end_a_run_that_was_started_with_others(self) -> None:
        session = make_session(run={"turnTimeoutSeconds": 50_000})
        assert plan(make_live_world(session)).actions == ()

    def test_say_so_while_they_end_and_afterwards(self) -> None:
        drained = replace(EMPTY, run=make_run(state=RunState.DRAINED, why="Outdated"))
        ending = make_live_world(mailbox=drained)
        assert reason(ending, "Ready") is Reason.OUTDATED
        assert not plan(ending).settled
        asleep = make_world(mailbox=drained, children=children())
        assert reason(asleep, "Suspended") is Reason.OUTDATED
        assert plan(asleep).settled
