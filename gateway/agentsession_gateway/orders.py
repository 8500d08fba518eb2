"""What a run is told next: pure decisions over a mailbox's answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from agentsession_core.mailbox.answers import RunAnswer, TurnGrant
from agentsession_core.mailbox.model import ExportRecord, MailboxState, RunState
from agentsession_core.wire import (
    CancelOrder,
    DrainOrder,
    ExportOrder,
    TurnOrder,
    WireModel,
)


@dataclass(frozen=True)
class Sent:
    """What this connection has been told. A new connection is told everything again."""

    turn: tuple[str, int] | None = None
    cancel: bool = False
    drain: bool = False
    export: str = ""


@dataclass(frozen=True)
class Order:
    """A server-sent event."""

    name: str
    body: WireModel

    def encode(self) -> bytes:
        """The event as it goes over the wire."""
        data: dict[str, Any] = self.body.to_wire()
        return f"event: {self.name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def next_orders(grant: TurnGrant, sent: Sent) -> tuple[list[Order], Sent]:
    """The orders that follow from the mailbox's answer, but for those this connection has had."""
    if grant.answer is RunAnswer.TURN:
        return _of_turn(grant, sent)
    if grant.answer is RunAnswer.DRAINED:
        if sent.drain:
            return [], sent
        return [Order("drain", DrainOrder())], replace(sent, drain=True)
    # Reopened, or nothing to do: a drain that comes later is a new one.
    return [], replace(sent, drain=False)


def export_order(export: ExportRecord | None, sent: Sent) -> tuple[list[Order], Sent]:
    """The order to hand over the workspace, unless this connection has had it."""
    if export is None or export.id == sent.export:
        return [], sent
    order = ExportOrder(export=export.id, address=export.address)
    return [Order("export", order)], replace(sent, export=export.id)


def _of_turn(grant: TurnGrant, sent: Sent) -> tuple[list[Order], Sent]:
    """The turn, and behind it the wish to end it: a runner ignores a cancel of what it has not."""
    orders: list[Order] = []
    key = (grant.turn, grant.attempt)
    if sent.turn != key:
        order = TurnOrder(
            turn=grant.turn,
            attempt=grant.attempt,
            conversation=grant.conversation,
            messages=grant.messages,
            remaining_seconds=grant.remaining_seconds,
        )
        orders.append(Order("turn", order))
        sent = Sent(turn=key, export=sent.export)
    if grant.cancelled and not sent.cancel:
        orders.append(Order("cancel", CancelOrder(turn=grant.turn)))
        sent = replace(sent, cancel=True)
    return orders, sent


def too_late(now: float, run_begun_at: float, active_deadline: float, turn_timeout: float) -> bool:
    """Whether less than a turn's timeout is left of the run. Times in seconds by one clock.

    Never with settings that do not fit together: the run was started with others.
    """
    return turn_timeout < active_deadline and now + turn_timeout > run_begun_at + active_deadline


def standing(state: MailboxState, run: str, pod_uid: str) -> RunAnswer:
    """How the run stands, without a turn being begun. OK when a turn of its own is recorded."""
    if state.epoch is None:
        return RunAnswer.LOST
    if state.run is None or state.run.run != run or state.run.state is RunState.ENDED:
        return RunAnswer.STALE
    if state.run.pod_uid != pod_uid:
        return RunAnswer.OTHER_POD
    if state.turn is not None and state.turn.run == run:
        return RunAnswer.OK
    if state.run.state is RunState.DRAINED:
        return RunAnswer.DRAINED
    return RunAnswer.BUSY if state.waiting else RunAnswer.EMPTY
