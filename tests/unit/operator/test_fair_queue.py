"""Who may start and who has to yield: a table, then what must hold for any cluster."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_operator.fair_queue import (
    LONGEST_WAIT_EVERY,
    Decision,
    Holding,
    Share,
    Waiting,
    decide,
)
from agentsession_operator.model import Key
from agentsession_testing.random_tests import examples


def key(name: str) -> Key:
    return Key("agents", name)


def chat(name: str, user: str, since: float) -> Waiting:
    return Waiting(key(name), user, task=False, since=since)


def task(name: str, user: str, since: float) -> Waiting:
    return Waiting(key(name), user, task=True, since=since)


def run(name: str, user: str = "", *, idle: float | None = None, is_task: bool = False) -> Holding:
    return Holding(key(name), user or name, is_task, idle_since=idle)


def names(keys: tuple[Key, ...]) -> list[str]:
    return [k.name for k in keys]


class TestStarts:
    def test_while_there_are_places_everybody_starts(self) -> None:
        decided = decide([chat("a", "1", 1), chat("b", "1", 2)], [], Share(2))
        assert names(decided.starts) == ["a", "b"]
        assert decided.yields == decided.chats == ()

    def test_a_user_with_fifty_does_not_starve_one_with_one(self) -> None:
        many = [chat(f"many{i}", "many", i) for i in range(50)]
        decided = decide([*many, chat("one", "one", 1000)], [], Share(2))
        assert names(decided.starts) == ["many0", "one"]

    def test_runs_that_a_user_has_count(self) -> None:
        waiting = [chat("second", "anna", 1), chat("first", "ben", 2)]
        decided = decide(waiting, [run("x", "anna")], Share(2))
        assert names(decided.starts) == ["first"]
        assert names(decided.chats) == ["second"]

    def test_with_one_place_users_take_turns(self) -> None:
        waiting = [chat("bens", "ben", 1), chat("annas", "anna", 2), chat("new", "new", 3)]
        last = {("ben", False): 90.0, ("anna", False): 80.0, ("anna", True): 99.0}
        decided = decide(waiting, [run("x")], Share(1), last_start=last)
        assert names(decided.chats) == ["new", "annas", "bens"]

    def test_within_a_user_the_longest_wait_is_first(self) -> None:
        decided = decide([chat("b", "1", 2), chat("a", "1", 1)], [run("x")], Share(1))
        assert names(decided.chats) == ["a", "b"]

    def test_each_fourth_start_goes_to_the_longest_wait(self) -> None:
        busy = [run(f"r{i}", "anna") for i in range(4)]
        newcomers = [chat(f"new{i}", f"user{i}", 10 + i) for i in range(6)]
        decided = decide([chat("old", "anna", 1), *newcomers], busy, Share(4))
        assert names(decided.chats)[LONGEST_WAIT_EVERY - 1] == "old"
        again = decide([chat("old", "anna", 1), *newcomers], busy, Share(4), started=(3, 0))
        assert names(again.chats)[0] == "old"

    def test_more_runs_than_places_start_nothing(self) -> None:
        decided = decide([chat("a", "1", 1)], [run("x"), run("y")], Share(1))
        assert decided.starts == ()


class TestShares:
    @pytest.mark.parametrize(
        ("places", "percent", "tasks"), [(100, 10, 10), (9, 10, 0), (1, 90, 0), (3, 50, 1)]
    )
    def test_are_rounded_down(self, places: int, percent: int, tasks: int) -> None:
        assert Share.of_percent(places, percent).for_tasks == tasks

    def test_chats_never_take_the_places_of_tasks(self) -> None:
        decided = decide([chat(f"c{i}", f"{i}", i) for i in range(5)], [], Share(4, 1))
        assert len(decided.starts) == 3
        late = decide([task("t", "t", 99)], [run(f"c{i}") for i in range(3)], Share(4, 1))
        assert names(late.starts) == ["t"]

    def test_tasks_borrow_what_no_chat_waits_for_and_half_at_most(self) -> None:
        tasks = [task(f"t{i}", f"{i}", i) for i in range(9)]
        assert len(decide(tasks, [], Share(5, 1)).starts) == 3
        both = decide([*tasks, chat("c", "c", 99)], [run("x"), run("y"), run("z")], Share(5, 1))
        assert names(both.starts) == ["c", "t0"]

    def test_without_a_share_tasks_are_chats(self) -> None:
        decided = decide([task("t", "t", 1), chat("c", "c", 2)], [], Share(1))
        assert names(decided.starts) == ["t"]
        assert names(decided.chats) == ["c"]


class TestYields:
    def test_the_longest_idle_run_makes_place_for_the_first_who_waits(self) -> None:
        holding = [run("x", idle=20), run("y"), run("z", idle=10)]
        assert names(decide([chat("a", "a", 1)], holding, Share(3)).yields) == ["z"]

    def test_a_run_in_a_turn_never_does(self) -> None:
        assert decide([chat("a", "a", 1)], [run("x")], Share(1)).yields == ()

    def test_who_leaves_anyway_is_counted_in(self) -> None:
        leaving = replace(run("x"), leaving=True)
        decided = decide([chat("a", "a", 1)], [leaving, run("y", idle=1)], Share(2))
        assert decided.yields == ()

    def test_nobody_waits_nobody_yields(self) -> None:
        assert decide([], [run("x", idle=1), run("y", idle=1)], Share(1)).yields == ()

    def test_a_run_that_cannot_start_goes_before_an_idle_one(self) -> None:
        stuck = Holding(key("s"), "s", task=False, stuck_since=50)
        decided = decide([chat("a", "a", 1)], [run("x", idle=1), stuck], Share(2))
        assert names(decided.yields) == ["s"]

    def test_a_full_cluster_has_one_idle_run_yield_for_each_without_room(self) -> None:
        holding = [run("x", idle=2), run("y", idle=1), run("z")]
        assert names(decide([], holding, Share(9), cramped=1).makes_room) == ["y"]
        assert len(decide([], holding, Share(9), cramped=5).makes_room) == 2

    def test_an_idle_task_on_a_borrowed_place_yields_to_a_chat(self) -> None:
        holding = [run("c"), run("t1", is_task=True), run("t2", is_task=True, idle=5)]
        decided = decide([chat("a", "a", 1)], holding, Share(3, 1))
        assert names(decided.yields) == ["t2"]

    def test_a_task_beyond_its_share_sends_no_chat_away(self) -> None:
        holding = [run("c", idle=1), run("c2", idle=2), run("t1", is_task=True)]
        decided = decide([task("t2", "t", 1)], holding, Share(3, 1))
        assert decided.yields == ()


def waiting_sessions() -> st.SearchStrategy[list[Waiting]]:
    one = st.tuples(st.sampled_from("abcd"), st.booleans(), st.integers(0, 50))
    return st.lists(one, max_size=30).map(
        lambda found: [
            Waiting(key(f"w{i}"), user, is_task, float(since))
            for i, (user, is_task, since) in enumerate(found)
        ]
    )


def runs() -> st.SearchStrategy[list[Holding]]:
    moments = st.none() | st.integers(0, 50).map(float)
    one = st.tuples(st.sampled_from("abcd"), st.booleans(), moments, moments, st.booleans())
    return st.lists(one, max_size=20).map(
        lambda found: [
            Holding(key(f"h{i}"), user, is_task, idle, None if idle else stuck, leaving)
            for i, (user, is_task, idle, stuck, leaving) in enumerate(found)
        ]
    )


shares = st.integers(1, 12).flatmap(
    lambda places: st.builds(Share, st.just(places), st.integers(0, places - 1))
)


@pytest.mark.random
class TestAnyCluster:
    @examples(300)
    @given(waiting_sessions(), runs(), shares, st.integers(0, 9), st.integers(0, 3))
    def test_limits_shares_and_positions(
        self,
        waiting: list[Waiting],
        holding: list[Holding],
        share: Share,
        started: int,
        cramped: int,
    ) -> None:
        decided = decide(waiting, holding, share, started=(started, started), cramped=cramped)
        by_key = {item.key: item for item in waiting}
        begun = [by_key[k] for k in decided.starts]
        before = Counter(share.is_task(item) for item in holding)
        after = before + Counter(share.is_task(item) for item in begun)
        if begun:
            assert after.total() <= share.places, "never more than the maximum"
        if after[False] > before[False]:
            assert after[False] <= share.for_chats, "chats never take the places of tasks"
        if after[True] > before[True]:
            assert after[True] <= max(share.for_tasks, share.most_tasks)
        left = [by_key[k] for k in (*decided.chats, *decided.tasks)]
        assert Counter(i.key for i in (*begun, *left)) == Counter(list(by_key)), (
            "each one exactly once"
        )
        assert all(share.is_task(by_key[k]) for k in decided.tasks)
        assert not any(share.is_task(by_key[k]) for k in decided.chats)
        if decided.chats:
            assert after[False] >= share.for_chats or after.total() >= share.places
        if decided.tasks and before[False] <= share.for_chats:
            assert after[True] >= share.for_tasks, "the reserved share is within reach"

    @examples(300)
    @given(waiting_sessions(), runs(), shares, st.integers(0, 3))
    def test_only_idle_or_stuck_runs_yield(
        self, waiting: list[Waiting], holding: list[Holding], share: Share, cramped: int
    ) -> None:
        decided = decide(waiting, holding, share, cramped=cramped)
        by_key = {item.key: item for item in holding}
        going = [by_key[k] for k in (*decided.yields, *decided.makes_room)]
        assert len({item.key for item in going}) == len(going)
        for item in going:
            assert not item.leaving
            assert item.idle_since is not None or item.stuck_since is not None
        assert len(decided.makes_room) <= cramped

    @examples(300)
    @given(waiting_sessions(), runs(), shares)
    def test_a_run_yields_for_one_who_starts_then_or_because_it_is_over_a_limit(
        self, waiting: list[Waiting], holding: list[Holding], share: Share
    ) -> None:
        """Limits may be lowered and tasks' places taken back: runs beyond them yield as soon as
        somebody waits for a place of theirs, and not before."""
        decided = decide(waiting, holding, share)
        left = [item for item in waiting if item.key not in decided.starts]
        begun = [
            Holding(item.key, item.user, item.task)
            for item in waiting
            if item.key in decided.starts
        ]
        stay = [item for item in (*holding, *begun) if not item.leaving]
        kept = [item for item in stay if item.key not in decided.yields]
        served = len(decide(left, kept, share).starts) - len(decide(left, stay, share).starts)
        assert len(decided.yields) <= served + beyond_limits(decided, stay, share)
        unserved = set(decided.chats) - set(decide(left, kept, share).starts)
        if unserved:
            spare = [item for item in kept if item.idle_since or item.stuck_since]
            assert all(share.is_task(item) for item in spare), "each chat that can yields to a chat"

    @examples(200)
    @given(
        shares,
        st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc"), st.booleans()), max_size=60),
        st.integers(0, 20),
    )
    def test_everybody_starts_however_many_newcomers_come(
        self, share: Share, events: list[tuple[int, str, bool]], newcomers: int
    ) -> None:
        """Whoever has `a` elders in its queue starts within 4(a + 1) starts from that queue."""
        world = Turnstile(share)
        for kind, user, is_task in events:
            if kind:
                world.arrive(user, is_task=is_task)
            else:
                world.end_one()
        for number in range(newcomers):
            world.arrive(f"new{number}", is_task=bool(number % 2))
            world.end_one()
        for _ in range(10 * len(world.bounds) + 10):
            world.end_one()
        assert not world.waiting, "everybody has had a turn"


def beyond_limits(decided: Decision, stay: list[Holding], share: Share) -> int:
    """How many of the runs have to go before a place is free for one more of each kind that waits."""
    if not (decided.chats or decided.tasks):
        return 0
    tasks = sum(share.is_task(item) for item in stay)
    chats_over = max(0, len(stay) - tasks - share.for_chats) if decided.chats else 0
    tasks_over = max(0, tasks - share.most_tasks) if decided.tasks else 0
    return max(len(stay) - share.places, chats_over + tasks_over)


class Turnstile:
    """Runs that end in order; checks at each start that nobody waited longer than its bound."""

    def __init__(self, share: Share) -> None:
        self.share = share
        self.clock = 0.0
        self.waiting: list[Waiting] = []
        self.running: list[Holding] = []
        self.started = [0, 0]
        self.bounds: dict[Key, int] = {}

    def arrive(self, user: str, *, is_task: bool) -> None:
        self.clock += 1
        item = Waiting(key(f"s{self.clock}"), user, is_task, self.clock)
        lane = self.share.is_task(item)
        elders = sum(self.share.is_task(other) is lane for other in self.waiting)
        self.bounds[item.key] = self.started[lane] + LONGEST_WAIT_EVERY * (elders + 1)
        self.waiting.append(item)
        self.turn()

    def end_one(self) -> None:
        if self.running:
            # A task and a chat end in turn, so that neither queue waits for runs that never end.
            kinds = sorted(self.running, key=lambda item: item.task == (self.clock % 2 == 0))
            self.running.remove(kinds[0])
            self.clock += 1
        self.turn()

    def turn(self) -> None:
        decided = decide(
            self.waiting, self.running, self.share, started=(self.started[0], self.started[1])
        )
        by_key = {item.key: item for item in self.waiting}
        for k in decided.starts:
            item = by_key[k]
            lane = self.share.is_task(item)
            self.started[lane] += 1
            assert self.started[lane] <= self.bounds[k], f"{k} waited for too many"
            self.running.append(Holding(k, item.user, item.task))
            self.waiting.remove(item)
