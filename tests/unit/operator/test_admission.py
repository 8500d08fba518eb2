"""The queue for runs as it is kept between the looks at single sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_operator.admission import GRANT_SECONDS, OPENING_SECONDS, Admission
from agentsession_operator.fair_queue import Holding, Share
from agentsession_operator.model import Key
from agentsession_operator.world import Place, Standing
from agentsession_testing.random_tests import examples


def key(name: str) -> Key:
    return Key("agents", name)


def standing(
    user: str = "u",
    *,
    waits: float | None = None,
    holds: bool = False,
    idle: float | None = None,
    leaving: bool = False,
    task: bool = False,
    cramped: str | None = None,
) -> Standing:
    return Standing(user, task, None, waits, holds, leaving, idle, None, cramped)


class Stage:
    """An Admission with a clock that only the test moves; remembers who was woken."""

    def __init__(self, places: int, for_tasks: int = 0) -> None:
        self.now = 1000.0
        self.admission = Admission(Share(places, for_tasks), lambda: self.now)
        self.woken: list[str] = []
        self.admission.wake = lambda k: self.woken.append(k.name)
        self.admission.begin([], {})

    def ask(self, name: str, since: float, user: str | None = None) -> Place:
        return self.admission.place(key(name), standing(user or name, waits=since))

    def run(self, name: str, *, idle: float | None = None) -> Place:
        return self.admission.place(key(name), standing(name, holds=True, idle=idle))

    def end(self, name: str) -> None:
        self.admission.place(key(name), standing(name))

    def decide(self) -> list[str]:
        self.woken.clear()
        self.admission.decide()
        return self.woken


def test_without_a_queue_a_place_is_given_in_the_look_that_asks() -> None:
    stage = Stage(2)
    assert stage.ask("a", 1).free
    assert stage.ask("b", 2).free
    assert not stage.ask("c", 3).free


def test_a_place_that_becomes_free_goes_to_the_next_who_is_woken_for_it() -> None:
    stage = Stage(1)
    stage.ask("a", 1)
    stage.run("a")
    stage.ask("c", 3)
    stage.ask("b", 2)
    assert stage.decide() == []
    assert stage.ask("c", 3) == Place(False, False, 2, 2, 1)
    stage.end("a")
    assert stage.decide() == ["b"]
    assert stage.ask("b", 2).free
    assert not stage.ask("c", 3).free


def test_the_longest_idle_run_is_told_to_yield_until_it_works_again() -> None:
    stage = Stage(2)
    for name in ("a", "b"):
        stage.ask(name, 1)
    stage.run("a", idle=20)
    stage.run("b", idle=10)
    stage.ask("c", 3)
    assert stage.decide() == ["b"]
    assert stage.run("b", idle=10).must_yield
    assert not stage.run("a", idle=20).must_yield
    assert not stage.run("b").must_yield, "a message came first"


def test_a_place_that_was_given_and_not_taken_goes_to_the_next() -> None:
    stage = Stage(1)
    stage.ask("a", 1)
    stage.ask("b", 2)
    stage.admission.settle(key("a"), holds=False)
    assert stage.decide() == ["b"]


def test_a_place_that_is_given_to_somebody_who_never_comes_is_taken_back() -> None:
    stage = Stage(1)
    stage.ask("a", 1)
    stage.ask("b", 2)
    stage.now += GRANT_SECONDS + 1
    assert stage.decide() == ["b"]


def test_a_deleted_session_has_its_place_until_its_pod_has_ended() -> None:
    stage = Stage(1)
    stage.ask("a", 1)
    stage.run("a")
    stage.ask("b", 2)
    stage.admission.gone(key("a"), holds=True)
    assert stage.decide() == []
    stage.admission.gone(key("a"), holds=False)
    assert stage.decide() == ["b"]


def test_one_idle_run_yields_for_each_attempt_that_finds_no_room() -> None:
    stage = Stage(9)
    for name in ("a", "b", "c"):
        stage.ask(name, 1)
        stage.run(name, idle=1)
    for attempt in ("x/1", "x/1", "x/2"):
        stage.admission.place(key("x"), standing(holds=True, cramped=attempt))
        stage.decide()
    told = [name for name in ("a", "b", "c") if stage.run(name, idle=1).must_yield]
    assert len(told) == 2


class TestAfterARestart:
    def restarted(self, holding: Iterable[str], expected: Iterable[str], places: int) -> Stage:
        stage = Stage(places)
        stage.admission = Admission(Share(places), lambda: stage.now)
        stage.admission.wake = lambda k: stage.woken.append(k.name)
        stage.admission.begin(
            [Holding(key(name), name, task=False) for name in holding],
            {key(name): False for name in expected},
        )
        return stage

    def test_nobody_overtakes_those_who_have_not_been_looked_at_yet(self) -> None:
        stage = self.restarted(["x"], ["old", "older"], places=2)
        assert not stage.ask("new", 30).free
        assert stage.decide() == []
        stage.ask("old", 20)
        stage.ask("older", 10)
        assert stage.decide() == ["older"]

    def test_with_places_for_all_of_them_nobody_waits_for_the_others(self) -> None:
        stage = self.restarted(["x"], ["old", "older"], places=4)
        assert stage.ask("new", 30).free

    async def test_one_that_cannot_be_looked_at_does_not_hold_the_others_for_ever(self) -> None:
        stage = self.restarted([], ["broken"], places=1)
        assert not stage.ask("new", 30).free
        stage.now += OPENING_SECONDS
        woken = asyncio.Event()
        stage.admission.wake = lambda _: woken.set()
        running = asyncio.create_task(stage.admission.run())
        try:
            await asyncio.wait_for(woken.wait(), 10)
        finally:
            running.cancel()


async def test_changes_are_decided_by_themselves() -> None:
    stage = Stage(1)
    woken = asyncio.Event()
    stage.admission.wake = lambda _: woken.set()
    running = asyncio.create_task(stage.admission.run())
    try:
        stage.ask("a", 1)
        stage.run("a")
        stage.ask("b", 2)
        stage.end("a")
        await asyncio.wait_for(woken.wait(), 10)
    finally:
        running.cancel()
    assert stage.ask("b", 2).free


names = st.integers(0, 7).map(lambda number: f"s{number}")


@pytest.mark.random
class TestAnyOrder:
    @examples(200)
    @given(
        st.integers(1, 4),
        st.lists(st.tuples(st.sampled_from(["ask", "run", "end", "gone", "decide"]), names)),
    )
    def test_never_more_than_the_maximum_and_no_place_is_lost(
        self, places: int, steps: list[tuple[str, str]]
    ) -> None:
        stage, running = Stage(places), set()
        for step, name in steps:
            if step == "ask" and name not in running:
                if stage.ask(name, 1).free:
                    running.add(name)
                    stage.admission.settle(key(name), holds=True)
            elif step == "run" and name in running:
                if stage.run(name, idle=5).must_yield:
                    assert stage.admission.waiting[False] > 0 or not stage.admission.positions
            elif step == "end":
                running.discard(name)
                stage.end(name)
            elif step == "gone":
                running.discard(name)
                stage.admission.gone(key(name), holds=False)
            else:
                stage.decide()
            assert len(running) <= stage.admission.holding <= places
        for number in range(8):
            stage.end(f"s{number}")
        assert stage.admission.holding == 0
        assert [stage.ask(f"s{number}", 1).free for number in range(places)] == [True] * places

    @examples(200)
    @given(
        st.integers(1, 4),
        st.lists(st.tuples(st.sampled_from(["ask", "end", "see0", "see1", "decide"]), names)),
    )
    def test_two_operators_start_at_most_what_one_of_them_has_not_seen_yet(
        self, places: int, steps: list[tuple[str, str]]
    ) -> None:
        """Each has no more runs of its own than the maximum, so both together no more than twice
        that; what one has seen begin counts for it until it sees the end, and not a moment less."""
        operators, running = (Seeing(places), Seeing(places)), set[str]()
        waits: set[str] = set()
        for step, name in steps:
            if step == "ask":
                waits |= {name} - running
            elif step == "end":
                running.discard(name)
                for operator in operators:
                    operator.started.discard(name)
            elif step.startswith("see"):
                operators[int(step[-1])].look(name, waits, running)
            else:
                for operator in operators:
                    operator.decide()
            assert len(running) <= 2 * places
        for _ in range(2):
            for operator in operators:
                for number in range(8):
                    operator.look(f"s{number}", set(), running)
        assert all(operator.holding == len(running) for operator in operators)


class Seeing:
    """One of two operators, each of which sees the other's starts and all ends later.

    `known`: runs that it has seen begin and has not seen end. `started`: those of its own that run.
    """

    def __init__(self, places: int) -> None:
        self.stage = Stage(places)
        self.places = places
        self.known: set[str] = set()
        self.started: set[str] = set()

    @property
    def holding(self) -> int:
        return self.stage.admission.holding

    def look(self, name: str, waits: set[str], running: set[str]) -> None:
        """Looks at a session as it is now."""
        before = self.holding
        if name in running:
            self.known.add(name)
            self.stage.run(name)
            assert self.holding <= before + 1
        else:
            self.known.discard(name)
            if name not in waits:
                self.stage.end(name)
                assert self.holding <= before
            else:
                self._start(name, waits, running)
                self._gave(before)
        self._check()

    def decide(self) -> None:
        before = self.holding
        self.stage.decide()
        self._gave(before)
        self._check()

    def _start(self, name: str, waits: set[str], running: set[str]) -> None:
        if self.stage.ask(name, 1).free:
            waits.discard(name)
            for found in (running, self.known, self.started):
                found.add(name)
            self.stage.admission.settle(key(name), holds=True)

    def _gave(self, before: int) -> None:
        assert self.holding <= max(before, self.places), "a place is given only while one is free"

    def _check(self) -> None:
        assert len(self.started) <= self.places
        assert len(self.known) <= self.holding <= len(self.known) + self.places
