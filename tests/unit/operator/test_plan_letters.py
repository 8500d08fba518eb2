"""Messages that no run answers as a table: cut off, given up, stopped, held."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from agentsession_core.api import Reason, TurnOutcome
from agentsession_core.mailbox.model import FailureRecord, LastTurnRecord, MailboxState, RunState
from agentsession_operator.model import Children
from agentsession_operator.plan import plan
from agentsession_operator.world import (
    Action,
    ConfirmGone,
    CountFailure,
    CreateClaim,
    CutOff,
    DeleteJob,
    Drain,
    EndRun,
    EndTurn,
    GiveUp,
    Place,
    StartRun,
    TellHeld,
    World,
)
from agentsession_testing.operator_worlds import (
    EMPTY,
    NOW,
    TURN,
    WAITING,
    make_claim,
    make_job,
    make_live_world,
    make_pod,
    make_run,
    make_session,
    make_world,
    verdict,
)

RUN = make_run().run
DAY = 86_400.0
SUSPENDED = make_session(operatingMode="Suspended")
OOM = FailureRecord(1, RUN, Reason.RUN_OUT_OF_MEMORY, NOW - 400, "more memory than its limit")


def box(**changes: Any) -> MailboxState:
    """A mailbox whose run 1 is in a turn of one message."""
    return replace(WAITING, run=make_run(), turn=TURN, waiting_since=NOW - 5, **changes)


def over(pod: Any = None, **changes: Any) -> World:
    """Run 1 is over; it had been given the turn."""
    turn = {name: changes.pop(name) for name in list(changes) if hasattr(TURN, name)}
    mailbox = changes.pop("mailbox", box())
    pods = (pod or make_pod(phase="Failed", terminated=True, exit_code=1),)
    return make_world(
        changes.pop("session", None),
        mailbox=replace(mailbox, turn=replace(TURN, **turn)),
        children=Children(jobs=(make_job(complete=True),), pods=pods, claim=make_claim()),
        **changes,
    )


def kinds(actions: tuple[Action, ...]) -> list[type]:
    return [type(action) for action in actions]


class TestCutOff:
    @pytest.mark.parametrize(
        ("pod", "own"),
        [
            (make_pod(phase="Failed", terminated=True, exit_code=1), True),
            (make_pod(phase="Succeeded", terminated=True, exit_code=0), True),
            (make_pod(terminated=True, exit_code=137, exit_reason="OOMKilled"), True),
            (make_pod(phase="Failed", disruption="TerminationByKubelet", end_message="disk"), True),
            (make_pod(phase="Failed", terminated=True, disruption="EvictionByEvictionAPI"), False),
            (make_pod(phase="Failed", terminated=True, disruption="PreemptionByScheduler"), False),
            (make_pod(phase="Failed", terminated=True, deleting=True), False),
        ],
    )
    def test_is_counted_by_whose_doing_it_was(self, pod: Any, own: bool) -> None:
        actions = plan(over(pod)).actions
        assert actions[0] == CutOff(RUN, own)
        assert [type(action) for action in actions[1:]] == ([CountFailure] if own else [])

    def test_of_a_pod_that_left_nothing_is_not_its_own(self) -> None:
        world = replace(over(), children=Children(claim=make_claim()))
        assert plan(world).actions[:2] == (ConfirmGone(), CutOff(RUN, own=False))

    @pytest.mark.parametrize(
        "world",
        [
            pytest.param(over(make_pod()), id="its container may still run"),
            pytest.param(over(cut_run=RUN, deaths=1, mailbox=box(failure=OOM)), id="is counted"),
            pytest.param(over(run="uid/0"), id="the turn was never given to that run"),
            pytest.param(make_live_world(mailbox=box()), id="it runs"),
        ],
    )
    def test_not_counted(self, world: World) -> None:
        assert CutOff not in kinds(plan(world).actions)

    @pytest.mark.parametrize(
        "counts", [{"deaths": 2}, {"evictions": 9}, {"deaths": 2, "evictions": 9}]
    )
    def test_the_turn_goes_to_the_next_run(self, counts: dict[str, int]) -> None:
        world = over(cut_run=RUN, mailbox=box(failure=OOM), **counts)
        assert kinds(plan(world).actions) == [StartRun]


class TestGivenUpAfterAttempts:
    @pytest.mark.parametrize(
        ("counts", "reason", "said"),
        [
            ({"deaths": 3}, "RunOutOfMemory", "3 times, and each time it needed more memory"),
            ({"deaths": 3, "evictions": 9}, "RunOutOfMemory", "the agent tried 3 times"),
            ({"deaths": 2, "evictions": 10}, "RunEvicted", "machine was taken away 10 times"),
        ],
    )
    def test_says_why_and_names_what_it_means(
        self, counts: dict[str, int], reason: str, said: str
    ) -> None:
        [action] = plan(over(cut_run=RUN, mailbox=box(failure=OOM), **counts)).actions
        assert isinstance(action, GiveUp)
        letters = action.letters
        assert (letters.run, letters.turn, letters.reason) == (RUN, "t1", reason)
        assert (letters.max_deaths, letters.max_evictions) == (3, 10)
        assert said in letters.text
        assert "pod" not in letters.text, "people who write know nothing of pods"

    def test_though_the_session_sleeps_by_hand_or_backs_off(self) -> None:
        fresh = replace(OOM, count=3, at=NOW - 1)
        world = over(cut_run=RUN, deaths=3, mailbox=box(failure=fresh), session=SUSPENDED)
        assert GiveUp in kinds(plan(world).actions)

    def test_then_status_and_event_say_so(self) -> None:
        last = LastTurnRecord(
            turn="t1",
            run=RUN,
            source="telegram",
            outcome=TurnOutcome.DEAD_LETTERED,
            reply="",
            error_code="RunOutOfMemory",
            error_message="the run ended in the middle of the turn 3 times",
            model_status=None,
            started_at=NOW - 9,
            finished_at=NOW - 1,
            message_id="m1",
        )
        world = make_world(mailbox=replace(EMPTY, last=last))
        reason, message = verdict(world, "Degraded")
        assert (reason, "3 times" in message) == (Reason.DEAD_LETTERED, True)
        said = plan(world).status.last_turn
        assert said is not None
        assert said.outcome is TurnOutcome.DEAD_LETTERED


class TestGivenUpAfterADay:
    """A message that waits for a run that cannot start."""

    old = replace(WAITING, waiting_since=NOW - DAY)

    def barred(self, **changes: Any) -> World:
        """The session's template is missing, say."""
        session = make_session(templateRef={"name": "none"})
        return make_world(changes.pop("session", session), **{"mailbox": self.old, **changes})

    def test_says_why_and_names_what_it_means(self) -> None:
        [action] = plan(self.barred()).actions
        assert isinstance(action, GiveUp)
        letters = action.letters
        assert (letters.turn, letters.run, letters.before) == (None, "", NOW - DAY)
        assert letters.reason == Reason.NOT_ACCEPTED
        assert "24 hours" in letters.text
        assert "none" in letters.message

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({}, id="refused"),
            pytest.param({"place": Place(free=False)}, id="no place"),
            pytest.param(
                {
                    "mailbox": replace(
                        old, run=make_run(hello_at=None), failure=replace(OOM, at=NOW)
                    )
                },
                id="backing off",
            ),
            pytest.param(
                {"children": Children(claim=make_claim(user="other"))}, id="another's volume"
            ),
        ],
    )
    def test_whatever_stands_in_the_way(self, change: dict[str, Any]) -> None:
        session = None if change else make_session(templateRef={"name": "none"})
        assert GiveUp in kinds(plan(self.barred(session=session, **change)).actions)

    def test_also_a_run_whose_pod_never_starts(self) -> None:
        record = make_run(hello_at=None, begun_at=NOW - DAY)
        pod = make_pod(phase="Pending", started=False, waiting_reason="ImagePullBackOff")
        world = make_live_world(
            mailbox=replace(self.old, run=record),
            children=Children(jobs=(make_job(),), pods=(pod,), claim=make_claim()),
        )
        [action] = plan(world).actions
        assert isinstance(action, GiveUp)
        assert (action.letters.run, action.letters.greeted) == (RUN, False)
        assert action.letters.reason == Reason.IMAGE_PULL_FAILED

    @pytest.mark.parametrize(
        "world",
        [
            pytest.param(make_world(mailbox=old), id="nobody has tried to start one yet"),
            pytest.param(
                make_live_world(mailbox=replace(old, run=make_run(hello_at=None))),
                id="a run is starting",
            ),
            pytest.param(
                make_live_world(mailbox=replace(old, run=make_run())), id="a runner is there"
            ),
            pytest.param(make_world(SUSPENDED, mailbox=old), id="it sleeps by hand"),
            pytest.param(make_world(mailbox=old, holds_mailbox=False), id="another's mailbox"),
        ],
    )
    def test_not_given_up(self, world: World) -> None:
        assert GiveUp not in kinds(plan(world).actions)

    @pytest.mark.parametrize(("awake", "given_up"), [(DAY - 1, False), (DAY, True)])
    def test_a_message_that_was_kept_has_its_day_from_the_waking_on(
        self, awake: float, given_up: bool
    ) -> None:
        since = datetime.fromtimestamp(NOW - awake, UTC).isoformat()
        suspended = {
            "type": "Suspended",
            "status": "False",
            "reason": "Awake",
            "message": "",
            "lastTransitionTime": since,
        }
        session = make_session(
            templateRef={"name": "none"}, status={"conditions": [suspended]}, age=5 * DAY
        )
        kept = replace(WAITING, waiting_since=NOW - 3 * DAY)
        actions = plan(self.barred(session=session, mailbox=kept)).actions
        assert (GiveUp in kinds(actions)) is given_up

    def test_is_looked_at_in_time(self) -> None:
        young = replace(WAITING, waiting_since=NOW - DAY + 100)
        decided = plan(self.barred(mailbox=young))
        assert GiveUp not in kinds(decided.actions)
        assert decided.requeue_at == NOW + 100


class TestStopped:
    """A person's cancel when no runner carries it out."""

    def test_a_dead_runs_turn_ends_without_another_run(self) -> None:
        world = over(cut_run=RUN, deaths=1, cancelled_at=NOW - 1, mailbox=box(failure=OOM))
        [action] = plan(world).actions
        assert isinstance(action, EndTurn)
        assert (action.run, action.turn, action.outcome) == (RUN, "t1", TurnOutcome.CANCELLED)

    def test_a_runner_has_half_a_minute(self) -> None:
        def world(ago: float) -> World:
            turn = replace(TURN, cancelled_at=NOW - ago)
            run = make_run(hello_at=NOW - 100, begun_at=NOW - 101)
            return make_live_world(mailbox=replace(box(), run=run, turn=turn))

        assert plan(world(29)).actions == ()
        assert plan(world(29)).requeue_at == NOW + 1
        end, run, job = plan(world(30)).actions
        assert isinstance(end, EndTurn)
        assert end.outcome is TurnOutcome.CANCELLED
        assert kinds((run, job)) == [EndRun, DeleteJob]

    def test_a_run_that_took_the_turn_over_has_it_from_its_hello_on(self) -> None:
        turn = replace(TURN, cancelled_at=NOW - 100)
        world = make_live_world(mailbox=replace(box(), run=make_run(hello_at=NOW - 4), turn=turn))
        assert plan(world).actions == ()
        assert plan(world).requeue_at == NOW + 26


class TestHeld:
    """Suspended by hand: messages are kept, and people are told once."""

    def test_once(self) -> None:
        [action] = plan(make_world(SUSPENDED, mailbox=WAITING)).actions
        assert isinstance(action, TellHeld)
        assert action.with_turn
        assert "kept" in action.text
        told = replace(WAITING, held_told=True)
        assert plan(make_world(SUSPENDED, mailbox=told)).actions == ()

    def test_nothing_waits_or_it_is_awake(self) -> None:
        assert plan(make_world(SUSPENDED)).actions == ()
        awake = plan(make_world(mailbox=WAITING)).actions
        assert kinds(awake) == [CreateClaim, StartRun]

    def test_of_the_running_turn_nothing_is_said(self) -> None:
        world = make_live_world(SUSPENDED, mailbox=box())
        assert kinds(plan(world).actions) == [Drain]
        behind = make_live_world(SUSPENDED, mailbox=replace(box(), waiting=2))
        first, second = plan(behind).actions
        assert isinstance(first, TellHeld)
        assert not first.with_turn
        assert isinstance(second, Drain)

    def test_also_while_the_run_ends(self) -> None:
        run = make_run(state=RunState.DRAINED, drained_at=NOW - 1)
        world = make_live_world(SUSPENDED, mailbox=replace(WAITING, run=run))
        assert kinds(plan(world).actions) == [TellHeld]
