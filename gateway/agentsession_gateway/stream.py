"""`GET /v1/runner/stream`: turns, cancels and drains as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Final

import structlog
from redis.exceptions import RedisError

from agentsession_core.api import Reason
from agentsession_core.caller import Caller
from agentsession_core.effective import Effective
from agentsession_core.mailbox.answers import RunAnswer, TurnGrant
from agentsession_core.mailbox.model import ExportRecord
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.streaming import OwnedStreamingResponse
from agentsession_gateway.hub import HintHub, Waiter
from agentsession_gateway.orders import Sent, export_order, next_orders, standing, too_late

KEEP_ALIVE_SECONDS: Final = 15.0
REDIS_RETRY_SECONDS: Final = 1.0
_log = structlog.get_logger(__name__)


class TurnDesk:
    """Asks the mailbox for one run's turns."""

    def __init__(
        self,
        store: MailboxStore,
        caller: Caller,
        effective: Effective,
        new_turn_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._caller = caller
        self._effective = effective
        self._new_turn_id = new_turn_id
        self._begun_at: float | None = None
        self._clock_offset = 0.0

    async def look(self, clock: Callable[[], float]) -> TurnGrant:
        """The run's turn, or why there is none. Raises RedisError."""
        caller = self._caller
        if self._begun_at is None:
            state = await self._store.state(caller.mailbox)
            if state.epoch is None:
                return TurnGrant(RunAnswer.LOST)
            if state.run is None or state.run.run != caller.run:
                return TurnGrant(RunAnswer.STALE)
            self._begun_at = state.run.begun_at
            self._clock_offset = state.now - clock()
        now = clock() + self._clock_offset
        timeout = self._effective.turn_timeout
        if too_late(now, self._begun_at, self._effective.active_deadline, timeout):
            late = await self._look_late()
            if late is not None:
                return late
        return await self._store.begin_turn(
            caller.mailbox,
            run=caller.run,
            pod_uid=caller.pod_uid,
            turn=self._new_turn_id(),
            timeout_seconds=timeout,
        )

    async def export(self) -> ExportRecord | None:
        """Who waits for the workspace. Raises RedisError."""
        return await self._store.export(self._caller.mailbox)

    async def _look_late(self) -> TurnGrant | None:
        """No new turn fits into the run any more; None when one of its own still runs.

        What waits is for the next run, so this one leaves as if a person had suspended it: without
        that its bye would be answered with "reopened" for ever.
        """
        caller = self._caller
        answer = standing(await self._store.state(caller.mailbox), caller.run, caller.pod_uid)
        if answer is RunAnswer.OK:
            return None
        if answer is RunAnswer.BUSY:
            _log.info("run_too_old_for_a_turn", session=caller.session, run=caller.run)
            answer = await self._store.drain(
                caller.mailbox, run=caller.run, by_hand=True, why=Reason.RUN_DEADLINE_NEAR
            )
        return TurnGrant(RunAnswer.EMPTY if answer is RunAnswer.BUSY else answer)


def stream_response(
    hub: HintHub, desk: TurnDesk, caller: Caller, clock: Callable[[], float]
) -> OwnedStreamingResponse:
    """The run's stream; it ends when the run is no longer current or a newer stream comes."""
    owner = AsyncExitStack()
    waiter = owner.enter_context(hub.subscribe(caller.mailbox, caller.run))
    return OwnedStreamingResponse(
        _orders(waiter, desk, clock),
        owner,
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        media_type="text/event-stream",
    )


async def _orders(
    waiter: Waiter, desk: TurnDesk, clock: Callable[[], float]
) -> AsyncIterator[bytes]:
    sent = Sent()
    yield b": connected\n\n"
    while not waiter.closed:
        waiter.clear()
        try:
            grant = await desk.look(clock)
            export = await desk.export()
        except RedisError as error:
            _log.warning("look_failed", mailbox=waiter.mailbox, error=type(error).__name__)
            await asyncio.sleep(REDIS_RETRY_SECONDS)
            yield b": waiting\n\n"
            continue
        if grant.answer in (RunAnswer.STALE, RunAnswer.OTHER_POD):
            return
        if grant.answer is RunAnswer.LOST:
            # The operator's word that the runs are known again rings, too.
            await waiter.wait(REDIS_RETRY_SECONDS)
            yield b": waiting\n\n"
            continue
        # Before a drain: the runner hands over the workspace and leaves then.
        exports, sent = export_order(export, sent)
        orders, sent = next_orders(grant, sent)
        for order in (*exports, *orders):
            yield order.encode()
        if not await waiter.wait(KEEP_ALIVE_SECONDS):
            yield b": keep-alive\n\n"
