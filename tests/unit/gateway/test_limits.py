"""Rates, slots and the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentsession_core.problems import ProblemError
from agentsession_core.reviewer import REVIEWS_AT_ONCE
from agentsession_core.terminal import TEXT_LIMIT
from agentsession_core.ttl import TTLCache
from agentsession_core.wire import EVENT_LIMIT_BYTES, RESULT_LIMIT_BYTES, EventBatch
from agentsession_gateway.access import TURN_GRACE_SECONDS
from agentsession_gateway.allowlist import ELEMENTS_LIMIT
from agentsession_gateway.exports import EXPORTS_AT_ONCE, FIRST_PIECE_SECONDS, PIECE_SECONDS
from agentsession_gateway.limits import (
    BODIES_BYTES,
    BODY_SECONDS,
    SESSION_BODIES_BYTES,
    BodyBudget,
    RateLimiter,
    Slots,
)
from agentsession_gateway.model_proxy import BODY_BYTES, CALLS_AT_ONCE, SILENCE_SECONDS
from agentsession_gateway.runner_api import EVENTS_BURST, EVENTS_PER_SECOND
from agentsession_gateway.terminal_api import TERMINALS, TERMINALS_PER_SESSION
from agentsession_testing.clock import Clock

KIB, MIB = 1024, 1024 * 1024
BATCH = EventBatch.model_json_schema()["properties"]["events"]["maxItems"]
DOCUMENTED = {
    "event": f"{EVENT_LIMIT_BYTES // KIB} KiB, {BATCH} in a batch",
    "events per session": f"{EVENTS_PER_SECOND} per second, {EVENTS_BURST} at once",
    "result": f"{RESULT_LIMIT_BYTES // MIB} MiB of text",
    "model call's body": f"{BODY_BYTES // MIB} MiB, {ELEMENTS_LIMIT:,} elements",
    "model calls at once, per session": f"{CALLS_AT_ONCE}",
    "bodies held at once": f"{SESSION_BODIES_BYTES // MIB} MiB per session, "
    f"{BODIES_BYTES // MIB} MiB per process",
    "a body's arrival": f"{BODY_SECONDS:.0f} s",
    "silence of the model API": f"{SILENCE_SECONDS:.0f} s",
    "model calls outside a turn": f"{TURN_GRACE_SECONDS:.0f} s after its end",
    "TokenReviews at once": f"{REVIEWS_AT_ONCE}",
    "terminals that follow": f"{TERMINALS_PER_SESSION} per session, {TERMINALS} per process",
    "workspaces on their way": f"{EXPORTS_AT_ONCE} per process, one per session; "
    f"{FIRST_PIECE_SECONDS:.0f} s for the first piece, {PIECE_SECONDS:.0f} s for each further",
    "terminal's message": f"{TEXT_LIMIT:,} characters",
}


def test_the_documented_limits_are_those_in_force() -> None:
    text = (Path(__file__).parents[3] / "docs" / "gateway.md").read_text(encoding="utf-8")
    rows = text.partition("## Limits")[2].partition("##")[0].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if "|" in row]
    assert {cell[0]: cell[1] for cell in cells[2:]} == DOCUMENTED


def test_rate_per_key() -> None:
    clock = Clock(1000.0)
    limiter = RateLimiter(rate=50, burst=256, clock=clock)
    assert limiter.take("a", 256)
    assert not limiter.take("a", 1)
    assert limiter.take("b", 1)
    clock.now += 0.1
    assert limiter.take("a", 5)
    assert not limiter.take("a", 1)


def test_a_refusal_takes_nothing() -> None:
    clock = Clock(1000.0)
    limiter = RateLimiter(rate=10, burst=10, clock=clock)
    assert limiter.take("a", 6)
    assert not limiter.take("a", 5)
    assert limiter.take("a", 4)


def test_a_bucket_never_holds_more_than_the_burst() -> None:
    clock = Clock(1000.0)
    limiter = RateLimiter(rate=10, burst=10, clock=clock)
    assert limiter.take("a", 10)
    clock.now += 3600
    assert not limiter.take("a", 11)
    assert limiter.take("a", 10)


def test_buckets_are_bounded() -> None:
    limiter = RateLimiter(rate=1, burst=1, clock=Clock(1000.0), keys=3)
    for key in "abcd":
        assert limiter.take(key, 1)
    assert not limiter.take("d", 1)
    # The oldest was forgotten, which gives it a full bucket.
    assert limiter.take("a", 1)


def test_slots() -> None:
    slots = Slots(2)
    with slots.hold("a") as first, slots.hold("a") as second, slots.hold("a") as third:
        assert (first, second, third) == (True, True, False)
        with slots.hold("b") as other:
            assert other
    with slots.hold("a") as again:
        assert again
    assert slots._held == {}


def test_bodies_share_a_budget() -> None:
    budget = BodyBudget(total=100, share=60)
    with budget.hold("a") as first, budget.hold("a") as second, budget.hold("b") as other:
        first.grow(50)
        with pytest.raises(ProblemError) as refused:
            second.grow(11)
        assert (refused.value.status, refused.value.retry_after) == (429, 1)
        second.grow(10)
        other.grow(40)
        with pytest.raises(ProblemError):
            other.grow(1)
    with budget.hold("b") as again:
        again.grow(60)
    assert (budget._used, budget._keys) == (0, {})


def test_cache_forgets_by_age_and_by_number() -> None:
    clock = Clock(1000.0)
    cache: TTLCache[str, int] = TTLCache(seconds=10, limit=2, clock=clock)
    cache.put("a", 1)
    clock.now += 9.9
    assert cache.get("a") == 1
    clock.now += 0.1
    assert cache.get("a") is None
    for number, key in enumerate("xyz"):
        cache.put(key, number)
    assert [cache.get(key) for key in "xyz"] == [None, 1, 2]
    cache.put("y", 5)
    cache.put("w", 6)
    assert [cache.get(key) for key in "yzw"] == [5, None, 6]
