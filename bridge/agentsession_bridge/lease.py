"""One bridge of several polls and delivers: the holder of a lease in Redis.

In Redis, not in the API server: nothing of the work can be done without Redis, and all of it without the
API server (docs/adr/0015).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from redis import RedisError

from agentsession_core.mailbox.keys import BRIDGE_LEASE
from agentsession_core.mailbox.lease import Leases

log = structlog.get_logger(__name__)

LEASE_SECONDS: Final = 15.0
RENEW_SECONDS: Final = 4.0
TRY_SECONDS: Final = 2.0


class LeaseLostError(Exception):
    """Another bridge does the work now."""


class Lease:
    """`holder` is the same when the process comes again, and no other's: the pod's name.

    `held_since` is a time of the monotonic clock `now`, None while another one does the work.
    """

    def __init__(self, leases: Leases, holder: str, now: Callable[[], float]) -> None:
        self._leases = leases
        self._holder = holder
        self._now = now
        self.held_since: float | None = None

    async def take(self) -> None:
        """Return once it is ours."""
        waits = False
        while not await self._hold():
            if not waits:
                log.info("another bridge does the work: waiting")
            waits = True
            await asyncio.sleep(TRY_SECONDS)
        self.held_since = self._now()
        log.info("this bridge does the work")

    async def keep(self) -> None:
        """Renew it until cancelled, then give it back.

        Raises:
            LeaseLostError: another one has it.
        """
        try:
            while True:
                await asyncio.sleep(RENEW_SECONDS)
                if not await self._hold(unknown=True):
                    self.held_since = None
                    raise LeaseLostError("another bridge does the work now")
        except asyncio.CancelledError:
            await self._give_back()
            raise

    async def _hold(self, *, unknown: bool = False) -> bool:
        try:
            return await self._leases.hold(BRIDGE_LEASE, self._holder, LEASE_SECONDS)
        except RedisError as error:
            # Without Redis nobody takes it, and nobody does anything.
            log.warning("lease not renewed", error=type(error).__name__)
            return unknown

    async def _give_back(self) -> None:
        try:
            async with asyncio.timeout(RENEW_SECONDS):
                await self._leases.give_back(BRIDGE_LEASE, self._holder)
        except (RedisError, TimeoutError) as error:
            log.info("lease not given back", error=type(error).__name__)
