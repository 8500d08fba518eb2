"""One bridge of several does the work."""

from __future__ import annotations

import asyncio

import pytest
from redis import RedisError

from agentsession_bridge import lease as module
from agentsession_bridge.lease import Lease, LeaseLostError


class Leases:
    """Answers as it is told: held, another's, or no answer."""

    def __init__(self, *answers: bool | RedisError) -> None:
        self._answers = list(answers)
        self.given_back = 0
        self.all_said = asyncio.Event()

    async def hold(self, key: str, holder: str, seconds: float) -> bool:
        if not self._answers:
            self.all_said.set()
            await asyncio.Event().wait()
        answer = self._answers.pop(0)
        if isinstance(answer, RedisError):
            raise answer
        return answer

    async def give_back(self, key: str, holder: str) -> None:
        self.given_back += 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.001)
    monkeypatch.setattr(module, "TRY_SECONDS", 0.001)


async def test_it_waits_until_it_is_its_own() -> None:
    lease = Lease(Leases(False, RedisError("away"), False, True), "a", lambda: 7.0)  # type: ignore[arg-type]
    assert lease.held_since is None
    await asyncio.wait_for(lease.take(), 10)
    assert lease.held_since == 7.0


async def test_another_ones_name_ends_it_and_an_absent_redis_does_not() -> None:
    lease = Lease(Leases(True, RedisError("away"), True, False), "a", lambda: 7.0)  # type: ignore[arg-type]
    await lease.take()
    with pytest.raises(LeaseLostError):
        await asyncio.wait_for(lease.keep(), 10)
    assert lease.held_since is None


async def test_an_orderly_end_gives_it_back() -> None:
    leases = Leases(True)
    lease = Lease(leases, "a", lambda: 7.0)  # type: ignore[arg-type]
    await lease.take()
    task = asyncio.create_task(lease.keep())
    await asyncio.wait_for(leases.all_said.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert leases.given_back == 1
