"""Redis' clock beside the operator's: what counts as a difference, and what waits for both."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from agentsession_operator.clocks import Clocks
from agentsession_operator.metrics import SessionMetrics
from agentsession_operator.plan import plan
from agentsession_testing.operator_worlds import (
    EMPTY,
    NOW,
    TURN,
    make_live_world,
    make_run,
    make_session,
    make_world,
)

DAY = 86_400.0


@pytest.mark.parametrize(
    ("redis", "ahead"), [(100.0, 0.0), (103.0, 0.0), (101.5, 0.0), (107.0, 4.0), (90.0, -10.0)]
)
def test_waiting_for_the_answer_is_no_difference(redis: float, ahead: float) -> None:
    registry = CollectorRegistry()
    Clocks(lambda: 0.0, SessionMetrics(registry)).compare(redis, asked_at=100, answered_at=103)
    name = "agentsession_operator_redis_clock_ahead_seconds"
    assert registry.get_sample_value(name) == ahead


def test_a_difference_is_told_once_and_its_end() -> None:
    clocks = Clocks(lambda: 0.0)
    with capture_logs() as said:
        for redis in (100.0, 100.0 + DAY, 101.0 + DAY, 100.0, 100.0):
            clocks.compare(redis, asked_at=100, answered_at=101)
    assert [(entry["log_level"], entry["redis_ahead_seconds"]) for entry in said] == [
        ("warning", DAY - 1),
        ("info", 0.0),
    ]


def test_a_redis_a_day_ahead_deletes_warns_and_cuts_nobody() -> None:
    """All stamps are of before the jump; the next look is when the time is really over."""
    jumped = replace(EMPTY, now=NOW + DAY, last_activity=NOW - 1)
    awake = replace(jumped, run=make_run())
    asleep = make_world(
        make_session(age=1000, idlePolicy={"deleteAfterSeconds": 7200}), mailbox=jumped
    )
    live = make_live_world(mailbox=awake)
    working = make_live_world(mailbox=replace(awake, waiting=1, turn=TURN))
    silent = make_live_world(mailbox=replace(awake, waiting=1, run=make_run(hello_at=None)))
    for world in (asleep, live, working, silent):
        assert plan(world).actions, "by Redis' clock alone it would be over"
        assert plan(replace(world, local_now=NOW)).actions == ()
    assert plan(replace(live, local_now=NOW)).requeue_at == NOW - 1 + 300
