"""`plan()` under any course of events: what never happens, and what is reached in the end."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_core.api import OperatingMode, Phase
from agentsession_operator.plan import plan
from agentsession_operator.world import Place
from agentsession_testing.operator_worlds import make_session
from agentsession_testing.played_session import BrokenPromiseError, Chances
from agentsession_testing.random_tests import examples
from agentsession_testing.simulation import Simulation

EVENTS = ("write", "write", "write", "evict", "restart", "by hand", "wake", "full", "yield", "free")
DAY = 86_400.0
steps = st.lists(st.tuples(st.sampled_from(EVENTS), st.floats(0, 60, allow_nan=False)), max_size=12)
chances = st.builds(
    Chances,
    lost=st.sampled_from([0.0, 0.0, 0.1, 0.5]),
    doubled=st.sampled_from([0.0, 0.3]),
    crash=st.sampled_from([0.0, 0.2]),
    deaf=st.sampled_from([0.0, 0.2]),
)
jumps_of_clocks = st.lists(st.sampled_from([-3600.0, -20.0, 20.0, 3600.0]), max_size=4)
clocks_ahead = st.lists(st.sampled_from([0.0, 20.0, 3600.0, DAY, 10 * DAY]), max_size=6)
idle_times = st.sampled_from([0, 5, 30])
seeds = st.integers(0, 2**32)


def simulation(seed: int, suspend_after: int, things: Chances, delete_after: int = 0) -> Simulation:
    policy = {"suspendAfterSeconds": suspend_after, "deleteAfterSeconds": delete_after}
    session = make_session(age=1, idlePolicy=policy)
    return Simulation(Random(seed), things, session, float(suspend_after))  # noqa: S311


def happen(world: Simulation, event: str) -> None:
    match event:
        case "write":
            world.write()
        case "evict":
            world.evict()
        case "restart":
            world.restart(world.random.uniform(0, 5))
        case "by hand":
            world.set_mode(OperatingMode.SUSPENDED)
        case "wake":
            world.set_mode(OperatingMode.RUNNING)
        case "full":
            world.place = Place(free=False, position=1, waiting=1, places=1)
        case "yield":
            world.place = Place(must_yield=True)
            world.look()
        case "free":
            world.place = Place()
            world.look()


def rest(world: Simulation) -> None:
    """Nothing goes wrong any more, and nobody writes: what was written is answered, then all sleep."""
    world.chances = Chances()
    world.place = Place()
    world.set_mode(OperatingMode.RUNNING)
    world._read_anew()
    # The longest backoff, a silent runner's timeout, and a turn.
    for _ in range(60):
        world.pass_time(30)
        if world.mailbox.waiting == 0 and world.mailbox.turn is None:
            break
    assert world.mailbox.waiting == 0, world.steps[-40:]
    world.pass_time(world.suspend_after + 60 + max(0.0, world.offset))
    decided = plan(world.world())
    assert decided.status.phase is Phase.SUSPENDED, (decided, world.steps[-40:])
    assert not any(pod.may_still_run for pod in world.pods.values())
    assert decided.requeue_at is None, "a session that sleeps for good costs nothing"


@pytest.mark.random
class TestAnyCourse:
    @examples(300)
    @given(seeds, idle_times, chances, steps)
    def test_work_is_never_cut_idle_is_never_kept_and_rest_is_reached(
        self, seed: int, suspend_after: int, things: Chances, course: list[tuple[str, float]]
    ) -> None:
        world = simulation(seed, suspend_after, things)
        written = 0
        for event, pause in course:
            written += event == "write"
            happen(world, event)
            world.pass_time(pause)
        rest(world)
        assert world.answered + world.given_up == written

    @examples(150)
    @given(seeds, idle_times, steps, jumps_of_clocks)
    def test_clocks_that_jump_cut_no_work_and_rest_is_reached(
        self, seed: int, suspend_after: int, course: list[tuple[str, float]], jumps: list[float]
    ) -> None:
        world = simulation(seed, suspend_after, Chances())
        for event, pause in course:
            happen(world, event)
            if jumps:
                world.jump(jumps.pop())
            world.pass_time(pause)
        world.pass_time(5 * 3600)
        rest(world)

    @examples(150)
    @given(seeds, idle_times, chances, steps, clocks_ahead)
    def test_a_redis_whose_clock_is_ahead_ends_nothing_before_its_time(
        self,
        seed: int,
        suspend_after: int,
        things: Chances,
        course: list[tuple[str, float]],
        ahead: list[float],
    ) -> None:
        """However far, again and again: no run is drained and no session deleted too early, and no
        turn cut; once the clock is right the session ends as any other."""
        world = simulation(seed, suspend_after, things, delete_after=300)
        for event, pause in course:
            happen(world, event)
            if ahead:
                world.jump(ahead.pop() - world.offset)
            world.pass_time(pause)
        world.jump(-world.offset)
        world.chances = Chances()
        world.place = Place()
        world.set_mode(OperatingMode.RUNNING)
        # What was stamped by the wrong clock is believed until then.
        world.pass_time(12 * DAY)
        assert world.deleted, world.steps[-40:]


class TestTheChecksCanFail:
    def test_an_operator_that_believes_redis_clock_alone_is_caught(self) -> None:
        world = simulation(1, 30, Chances(), delete_after=300)
        world.write()
        world.pass_time(25)
        world.jump(DAY)
        world.operator_offset = DAY
        with pytest.raises(BrokenPromiseError, match="before its time"):
            world.pass_time(600)

    def test_an_operator_that_sleeps_too_long_is_caught(self) -> None:
        world = simulation(1, 5, Chances())
        world.write()
        world.pass_time(30)
        assert world.answered == 1
        world.write()
        world.pass_time(0.5)
        world.up = False
        with pytest.raises(BrokenPromiseError, match="idle for"):
            world.pass_time(120)
