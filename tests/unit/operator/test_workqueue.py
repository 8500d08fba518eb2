from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from agentsession_operator.model import Key
from agentsession_operator.workqueue import WorkQueue

A, B = Key("n", "a"), Key("n", "b")
DEADLINE = 5.0


@asynccontextmanager
async def running(queue: WorkQueue, workers: int = 2) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run(workers))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def make_queue(
    work: Callable[[Key], Awaitable[float | None]], errors: list[Exception] | None = None
) -> WorkQueue:
    seen = errors if errors is not None else []
    return WorkQueue(work, asyncio.get_running_loop().time, seen.append, backoff_base=0.01)


async def test_many_adds_before_a_worker_is_free_are_one_call() -> None:
    calls: list[Key] = []
    done = asyncio.Event()

    async def work(key: Key) -> float | None:
        calls.append(key)
        if key == B:
            done.set()
        return None

    queue = make_queue(work)
    for _ in range(5):
        queue.add(A)
    queue.add(B)
    async with running(queue, workers=1), asyncio.timeout(DEADLINE):
        await done.wait()
    assert calls == [A, B]


async def test_a_key_is_never_worked_on_twice_at_once_and_again_if_added_meanwhile() -> None:
    active, most, calls = 0, 0, 0
    entered, release, second = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(_: Key) -> float | None:
        nonlocal active, most, calls
        calls, active = calls + 1, active + 1
        most = max(most, active)
        entered.set()
        await release.wait()
        active -= 1
        if calls == 2:
            second.set()
        return None

    queue = make_queue(work)
    async with running(queue), asyncio.timeout(DEADLINE):
        queue.add(A)
        await entered.wait()
        queue.add(A)
        queue.add(A)
        release.set()
        await second.wait()
    assert (most, calls) == (1, 2)


async def test_failure_is_counted_and_tried_again() -> None:
    errors: list[Exception] = []
    attempts = 0
    done = asyncio.Event()

    async def work(_: Key) -> float | None:
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            raise RuntimeError("not yet")
        done.set()
        return None

    queue = make_queue(work, errors)
    async with running(queue), asyncio.timeout(DEADLINE):
        queue.add(A)
        await done.wait()
    assert [str(error) for error in errors] == ["not yet"] * 3


async def test_answered_delay_brings_the_key_back() -> None:
    moments: list[float] = []
    done = asyncio.Event()
    clock = asyncio.get_running_loop().time

    async def work(_: Key) -> float | None:
        moments.append(clock())
        if len(moments) == 2:
            done.set()
            return None
        return 0.05

    queue = make_queue(work)
    async with running(queue), asyncio.timeout(DEADLINE):
        queue.add(A)
        await done.wait()
    assert moments[1] - moments[0] >= 0.05


@pytest.mark.parametrize("order", [(0.02, 30.0), (30.0, 0.02)])
async def test_the_earlier_of_two_appointments_holds(order: tuple[float, float]) -> None:
    done = asyncio.Event()

    async def work(_: Key) -> float | None:
        done.set()
        return None

    queue = make_queue(work)
    now = asyncio.get_running_loop().time()
    async with running(queue), asyncio.timeout(DEADLINE):
        for delay in order:
            queue.add_at(A, now + delay)
        await done.wait()


async def test_idle_is_when_everything_added_has_been_worked_on_also_what_came_meanwhile() -> None:
    seen: list[Key] = []
    begun, release = asyncio.Event(), asyncio.Event()

    async def work(key: Key) -> float | None:
        begun.set()
        await release.wait()
        seen.append(key)
        return None

    queue = make_queue(work)
    queue.add(A)
    queue.add(B)
    waiting = asyncio.create_task(queue.idle())
    async with running(queue, workers=1), asyncio.timeout(DEADLINE):
        await begun.wait()
        queue.add(A)
        assert not waiting.done()
        release.set()
        await waiting
    assert seen == [A, B, A]


class EverybodysError(Exception):
    """No key would fare better."""


async def test_an_error_of_everybodys_holds_all_keys_and_blames_none() -> None:
    calls: list[Key] = []
    errors: list[Exception] = []
    asked: list[int] = []
    over, paused, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def pause_of(error: Exception, times: int) -> float | None:
        asked.append(times)
        paused.set()
        return 0.01 if isinstance(error, EverybodysError) else None

    async def work(key: Key) -> float | None:
        calls.append(key)
        if not over.is_set():
            raise EverybodysError
        if {A, B} <= set(calls[before:]):
            done.set()
        return None

    queue = WorkQueue(
        work, asyncio.get_running_loop().time, errors.append, backoff_base=60, pause_of=pause_of
    )
    queue.add(A)
    queue.add(B)
    before = 0
    async with running(queue, workers=2), asyncio.timeout(DEADLINE):
        while len(asked) < 4:
            paused.clear()
            await paused.wait()
        before = len(calls)
        over.set()
        await done.wait()
    assert len(errors) == len(asked) >= 4
    # Both met it in the first round; the pause grows by rounds, not by keys.
    assert asked[:2] == [0, 1]
    assert max(asked) < len(asked)


async def test_a_pause_lets_nothing_through() -> None:
    calls: list[Key] = []
    failed = asyncio.Event()

    async def work(key: Key) -> float | None:
        calls.append(key)
        if key == A:
            failed.set()
            raise EverybodysError
        return None

    queue = WorkQueue(
        work, asyncio.get_running_loop().time, lambda _: None, pause_of=lambda _, __: 3600.0
    )
    queue.add(A)
    async with running(queue, workers=3), asyncio.timeout(DEADLINE):
        await failed.wait()
        queue.add(B)
        for _ in range(10):
            await asyncio.sleep(0)
    assert calls == [A]
