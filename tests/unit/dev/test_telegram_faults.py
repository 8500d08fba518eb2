"""Faults on order, and how often a chat may be written to."""

from __future__ import annotations

import pytest

from agentsession_dev.telegram_server.errors import ApiError
from agentsession_dev.telegram_server.faults import (
    GROUP_PACE,
    PRIVATE_PACE,
    Fault,
    FaultBook,
    FloodLimits,
    Pace,
)
from agentsession_testing.clock import Clock


def test_a_fault_hits_only_the_calls_it_names_and_is_counted_down() -> None:
    book = FaultBook(Clock(1000.0))
    book.inject(Fault(kind="lost", method="sendMessage", chat_id=7, count=2))
    assert book.take("sendMessage", 8) is None
    assert book.take("editMessageText", 7) is None
    assert [book.take("sendMessage", 7) is not None for _ in range(3)] == [True, True, False]
    assert book.remaining == 0


def test_an_error_on_order_carries_its_code_and_reason() -> None:
    book = FaultBook(Clock(1000.0))
    book.inject(Fault(kind="error", code=403, reason="user is deactivated"))
    with pytest.raises(ApiError) as refused:
        book.take("sendMessage", 7)
    assert refused.value.body() == {
        "ok": False,
        "error_code": 403,
        "description": "Forbidden: user is deactivated",
    }


def test_a_flood_punishes_one_chat_until_its_time_is_over() -> None:
    clock = Clock(1000.0)
    book = FaultBook(clock)
    book.inject(Fault(kind="flood", chat_id=7, seconds=120))
    for passed, left in ((0.0, 120), (119.5, 1)):
        clock.now = 1000.0 + passed
        with pytest.raises(ApiError) as refused:
            book.take("sendMessage", 7)
        assert refused.value.retry_after == left
        assert book.take("sendMessage", 8) is None
    clock.now = 1120.0
    assert book.take("sendMessage", 7) is None


@pytest.mark.parametrize(("chat_id", "pace"), [(7, PRIVATE_PACE), (-100, GROUP_PACE)])
def test_a_chat_over_its_pace_is_refused_until_the_next_token(chat_id: int, pace: Pace) -> None:
    clock = Clock(1000.0)
    limits = FloodLimits(clock, enabled=True)
    for _ in range(pace.burst):
        limits.count(chat_id)
    with pytest.raises(ApiError) as refused:
        limits.count(chat_id)
    assert refused.value.retry_after == pace.seconds
    limits.count(8 if chat_id > 0 else -8)
    clock.now += pace.seconds
    limits.count(chat_id)


def test_limits_can_be_switched_off() -> None:
    limits = FloodLimits(Clock(1000.0), enabled=False)
    for _ in range(1000):
        limits.count(7)
