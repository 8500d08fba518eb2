from __future__ import annotations

from agentsession_core.api import Reason
from agentsession_operator.cluster_errors import RefusedError
from agentsession_operator.model import Key
from agentsession_operator.refusals import Refusals
from agentsession_operator.rollout import SLOT_SECONDS, Rollout
from agentsession_operator.world import CreateClaim, Limits, StartRun

ANNA, BEN, CLEO = (Key("agents", name) for name in ("anna", "ben", "cleo"))
LIMITS = Limits(drain_grace=30, backoff_base=2, backoff_limit=10, hello_timeout=120)
START = StartRun(1, "", resumes=False)


def test_no_more_than_so_many_at_once_and_the_next_in_order() -> None:
    rollout = Rollout(1)
    assert rollout.admits(ANNA, 0)
    rollout.begin(ANNA, 0)
    assert not rollout.admits(BEN, 1)
    rollout.wait(BEN)
    rollout.wait(CLEO)
    assert rollout.settle(ANNA) == BEN
    rollout.begin(BEN, 2)
    assert not rollout.admits(CLEO, 3)
    assert rollout.settle(BEN) == CLEO


def test_who_is_on_the_way_is_let_on() -> None:
    rollout = Rollout(1)
    rollout.begin(ANNA, 0)
    assert rollout.admits(ANNA, 1)


def test_settling_without_a_slot_wakes_nobody() -> None:
    rollout = Rollout(1)
    rollout.begin(ANNA, 0)
    rollout.wait(CLEO)
    assert rollout.settle(BEN) is None


def test_who_does_not_come_up_again_loses_the_slot() -> None:
    rollout = Rollout(1)
    rollout.begin(ANNA, 0)
    assert not rollout.admits(BEN, SLOT_SECONDS - 1)
    assert rollout.admits(BEN, SLOT_SECONDS)


def test_a_deleted_session_does_not_stay_in_line() -> None:
    rollout = Rollout(1)
    rollout.begin(ANNA, 0)
    rollout.wait(BEN)
    rollout.settle(BEN)
    assert rollout.settle(ANNA) is None


def test_refusals_hold_ever_longer_and_are_forgotten_by_a_start() -> None:
    refusals = Refusals(LIMITS)
    error = RefusedError(403, 'jobs.batch "x" is forbidden: exceeded quota: small')
    for now, until in ((0.0, 2.0), (2.0, 6.0), (6.0, 14.0), (14.0, 24.0)):
        assert refusals.get(ANNA, now) is None
        assert refusals.add(ANNA, START, error, now).until == until
        held = refusals.get(ANNA, until - 0.1)
        assert held is not None
        assert held.problem.reason is Reason.QUOTA_EXCEEDED
    refusals.forget(ANNA)
    assert refusals.add(ANNA, START, error, 100.0).until == 102.0


def test_refusals_name_what_was_refused() -> None:
    refusals = Refusals(LIMITS)
    error = RefusedError(422, "spec.resources: Required value")
    claim = refusals.add(ANNA, CreateClaim(), error, 0.0).problem
    assert claim.reason is Reason.VOLUME_REFUSED
    assert claim.message == (
        "the API server refused the volume claim: spec.resources: Required value"
    )
    assert refusals.add(BEN, START, error, 0.0).problem.reason is Reason.POD_REFUSED
    foreign = refusals.add(ANNA, CreateClaim(), RefusedError(409, "not this session's"), 0.0)
    assert foreign.problem.reason is Reason.WORKSPACE_CONFLICT
