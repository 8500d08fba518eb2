"""How often a caller may ask, on a clock that stands still until it is moved."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_core.problems import ProblemError
from agentsession_core.settings import RateLimitSettings
from orchestrator_api.callers import Caller, run_caller, token_caller
from orchestrator_api.ratelimits import FORGET_SECONDS, RateLimits, take

ADA = token_caller("ada", "000000000001", frozenset(), None)


@dataclass
class Stage:
    """Limits of 60 a minute, 3 at once."""

    now: float = 1000.0
    limited: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = RateLimitSettings(requests_per_minute=60, burst=3)
        self.limits = RateLimits(
            settings, lambda: self.now, lambda caller: self.limited.append(caller.actor)
        )

    def wait(self, caller: Caller = ADA) -> int:
        """0 where a request is taken, else the seconds that its caller is told."""
        try:
            self.limits.require(caller)
        except ProblemError as problem:
            return problem.retry_after or -1
        return 0


def test_so_many_at_once_then_one_by_one() -> None:
    stage = Stage()
    assert [stage.wait() for _ in range(5)] == [0, 0, 0, 1, 1]
    with pytest.raises(ProblemError) as refused:
        stage.limits.require(ADA)
    assert (refused.value.status, refused.value.code) == (429, "rate_limited")
    assert refused.value.members == {"retry_after": 1}
    assert stage.limited == [ADA.actor] * 3
    stage.now += 1
    assert [stage.wait() for _ in range(2)] == [0, 1]
    stage.now += 3600
    assert [stage.wait() for _ in range(4)] == [0, 0, 0, 1]


def test_whoever_is_refused_is_not_kept_out_longer() -> None:
    stage = Stage()
    for _ in range(3):
        stage.wait()
    for _ in range(100):
        assert stage.wait() == 1
    stage.now += 1
    assert stage.wait() == 0


def test_each_token_and_each_agents_user_has_a_bucket() -> None:
    stage = Stage()
    own = [ADA, token_caller("ada", "000000000002", frozenset(), None)]
    runs = [run_caller("ada", mailbox, f"uid-of-{mailbox}/1") for mailbox in ("ada", "g1.t2")]
    for _ in range(3):
        assert [stage.wait(caller) for caller in own] == [0, 0]
    assert [stage.wait(runs[index % 2]) for index in range(4)] == [0, 0, 0, 1]
    assert [stage.wait(caller) for caller in own] == [1, 1]
    assert stage.wait(run_caller("bob", "bob", "uid-of-bob/1")) == 0


def test_callers_with_a_full_bucket_are_forgotten() -> None:
    stage = Stage()
    for number in range(100):
        stage.wait(token_caller("ada", f"{number:012}", frozenset(), None))
    assert stage.limits.known == 100
    stage.now += FORGET_SECONDS
    stage.wait()
    assert stage.limits.known == 1


def test_no_limit() -> None:
    limits = RateLimits(RateLimitSettings(requests_per_minute=0), lambda: 0.0)
    for _ in range(1000):
        limits.require(ADA)
    assert limits.known == 0


@pytest.mark.random
@given(
    pauses=st.lists(st.floats(0, 5), max_size=200),
    each=st.floats(0.01, 10),
    burst=st.integers(1, 20),
)
def test_never_more_than_a_bucket_holds(pauses: list[float], each: float, burst: int) -> None:
    """In any stretch of time at most the burst and what came back meanwhile; told waits are kept to."""
    filled, now, taken = 0.0, 0.0, []
    for pause in pauses:
        now += pause
        filled, wait = take(filled, now, seconds_each=each, burst=burst)
        if wait:
            # Whoever waits that long is taken, and not much earlier.
            assert take(filled, now + wait, seconds_each=each, burst=burst)[1] == 0
            assert take(filled, now + wait * 0.99 - 1e-5, seconds_each=each, burst=burst)[1] > 0
        else:
            taken.append(now)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            most = burst + math.floor((taken[last] - start) / each + 1e-6)
            assert last - first + 1 <= most
