"""An export as a table: a run for it, never two pods, never a turn for one that is held."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agentsession_core.api import OperatingMode, Phase, Reason
from agentsession_core.mailbox.exports import EXPORT_SECONDS
from agentsession_core.mailbox.model import ExportRecord, MailboxState, RunState
from agentsession_operator.model import Children
from agentsession_operator.plan import plan
from agentsession_operator.world import DeleteSession, Drain, EndRun, Place, StartRun, World
from agentsession_testing.operator_worlds import (
    EMPTY,
    NOW,
    TURN,
    UID,
    make_claim,
    make_live_world,
    make_pod,
    make_run,
    make_session,
    make_world,
    reason,
)

WISH = ExportRecord("e1", "http://10.0.0.5:8080")
ASLEEP = replace(EMPTY, export=WISH, last_activity=NOW - 3600)
HELD = make_session(operatingMode="Suspended")
CLAIM = Children(claim=make_claim())


def sleeping(mailbox: MailboxState = ASLEEP, **more: Any) -> World:
    return make_world(**{"mailbox": mailbox, "children": CLAIM, **more})


def starts(world: World) -> list[StartRun]:
    return [action for action in plan(world).actions if isinstance(action, StartRun)]


def test_a_sleeping_session_gets_a_run_for_it_alone() -> None:
    assert plan(sleeping()).actions == (StartRun(1, "", resumes=False, export_only=True),)


def test_one_suspended_by_hand_too_and_that_one_is_held() -> None:
    [start] = starts(sleeping(session=HELD))
    assert (start.export_only, start.held) == (True, True)
    [start] = starts(sleeping(replace(ASLEEP, waiting=1, held_told=True), session=HELD))
    assert (start.export_only, start.held) == (True, True)


def test_with_a_message_it_is_an_ordinary_run() -> None:
    [start] = starts(sleeping(replace(ASLEEP, waiting=1)))
    assert start == StartRun(1, "", resumes=False)


@pytest.mark.parametrize(
    "world",
    [
        sleeping(children=Children()),
        sleeping(replace(ASLEEP, export=replace(WISH, run=f"{UID}/1"))),
        sleeping(holds_mailbox=False),
        sleeping(place=Place(free=False)),
        sleeping(children=replace(CLAIM, pods=(make_pod(),))),
        sleeping(session=make_session(metadata={"deletionTimestamp": "2027-01-01T00:00:00Z"})),
    ],
    ids=["no volume", "it had its run", "another's mailbox", "full", "an earlier pod", "going"],
)
def test_no_run_for_it(world: World) -> None:
    assert starts(world) == []


def test_nobody_is_deleted_under_an_export() -> None:
    old = replace(ASLEEP, last_activity=NOW - 10 * 86_400)
    world = sleeping(
        old, session=make_session(age=20 * 86_400, idlePolicy={"warnBeforeDeleteSeconds": 0})
    )
    assert not any(isinstance(action, DeleteSession) for action in plan(world).actions)
    gone = plan(replace(world, mailbox=replace(old, export=None)))
    assert any(isinstance(action, DeleteSession) for action in gone.actions)


def exporting(seconds: float, *, export: ExportRecord | None = WISH, **spec: Any) -> World:
    """A live export run that was begun so many seconds ago."""
    record = make_run(
        state=RunState.DRAINED,
        drained_at=NOW - seconds,
        begun_at=NOW - seconds,
        hello_at=NOW - seconds + 1,
        why=Reason.EXPORTING.value,
    )
    return make_live_world(
        mailbox=replace(EMPTY, run=record, export=export), session=make_session(**spec)
    )


def test_a_run_that_hands_over_is_not_ended_however_long_it_takes() -> None:
    for mode in OperatingMode:
        world = exporting(4000, operatingMode=mode.value)
        decided = plan(world)
        assert not any(isinstance(action, (EndRun, Drain)) for action in decided.actions)
        assert decided.status.phase is Phase.SUSPENDING
        assert reason(world, "Suspended") == "Exporting"


def test_when_it_is_over_the_run_has_its_grace_and_no_more() -> None:
    ended = [
        any(isinstance(action, EndRun) for action in plan(exporting(age, export=None)).actions)
        for age in (1, 10_000)
    ]
    assert ended == [False, True]


def test_a_live_run_goes_on_with_its_work() -> None:
    world = make_live_world(mailbox=replace(EMPTY, run=make_run(), turn=TURN, export=WISH))
    assert plan(world).actions == ()


def test_an_idle_run_stays_for_it() -> None:
    old = make_run(begun_at=NOW - 3600, hello_at=NOW - 3600)
    idle = replace(EMPTY, run=old, last_activity=NOW - 3600)
    assert any(
        isinstance(one, Drain)
        for one in plan(make_live_world(make_session(age=7200), mailbox=idle)).actions
    )
    asked = make_live_world(make_session(age=7200), mailbox=replace(idle, export=WISH))
    assert plan(asked).actions == ()


def test_a_gateway_that_died_is_noticed() -> None:
    look = plan(sleeping(place=Place(free=False))).requeue_at
    assert look is not None
    assert look <= NOW + EXPORT_SECONDS
