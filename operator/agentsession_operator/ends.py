"""Writes into the mailbox what ended without its runner saying so."""

from __future__ import annotations

from dataclasses import asdict

import structlog

from agentsession_core.api import TurnOutcome
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.store import MailboxStore
from agentsession_operator.world import (
    CountFailure,
    CutOff,
    EndRun,
    EndTurn,
    GiveUp,
    TellHeld,
)

log = structlog.get_logger(__name__)
End = CountFailure | EndTurn | EndRun | CutOff | GiveUp | TellHeld


async def write_end(store: MailboxStore, mailbox: str, action: End) -> None:
    """Carries out one such action. Raises RedisError."""
    match action:
        case CountFailure() | EndTurn() | EndRun():
            await _end(store, mailbox, action)
        case CutOff():
            log.warning("turn cut off", run=action.run, own=action.own)
            await store.cut_off(mailbox, run=action.run, own=action.own)
        case GiveUp():
            # The store says which messages.
            await store.give_up(mailbox, action.letters)
        case TellHeld():
            told = await store.tell_held(mailbox, text=action.text, with_turn=action.with_turn)
            log.info("messages held", told=told)


async def _end(store: MailboxStore, mailbox: str, action: CountFailure | EndTurn | EndRun) -> None:
    log.warning("run ends before its time", **asdict(action))
    match action:
        case CountFailure():
            await store.run_failed(
                mailbox, run=action.run, reason=action.reason, message=action.message
            )
        case EndTurn():
            stopped = action.outcome is TurnOutcome.CANCELLED
            result = ResultRecord(
                action.outcome,
                "",
                error_code="cancelled" if stopped else "turn_timeout",
                error_message=action.message,
            )
            await store.commit_result(mailbox, run=action.run, turn=action.turn, result=result)
        case EndRun():
            await store.end_run(
                mailbox,
                run=action.run,
                reason=action.reason,
                message=action.message,
                counted=action.counted,
            )
