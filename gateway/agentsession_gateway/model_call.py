"""One model call on its way: its account, kept until the last byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog
from redis.exceptions import RedisError

from agentsession_core.caller import Caller
from agentsession_core.mailbox.stages import Stage
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.problems import ProblemError
from agentsession_core.settings import ModelPrice
from agentsession_gateway.allowlist import MESSAGES
from agentsession_gateway.metrics import TOKEN_KINDS, ModelMetrics
from agentsession_gateway.upstream_failure import Failure
from agentsession_gateway.usage import Tokens, amounts

_log = structlog.get_logger("agentsession_gateway.audit")
# Nobody hears an answer to a caller that has gone; nginx's number for it, in our log only.
CLIENT_GONE = 499


@dataclass(frozen=True)
class Ledger:
    """Where calls are written down."""

    store: MailboxStore
    prices: Mapping[str, ModelPrice]
    metrics: ModelMetrics
    clock: Callable[[], float]
    now: Callable[[], datetime]


class ModelCall:
    """A call's status, times and tokens. Losing Redis loses figures, never the call."""

    def __init__(self, ledger: Ledger, caller: Caller, turn: str | None, path: str) -> None:
        self._ledger = ledger
        self._caller = caller
        self._turn = turn
        self._path = path
        self._started = ledger.clock()
        self._first_byte: float | None = None
        self._counted = False
        self.model = ""
        self.status = 0
        self.forwarded = False
        self.tokens = Tokens()

    async def first_of_turn(self) -> None:
        """The turn's messages have come as far as the model."""
        if self._turn is None:
            return
        try:
            await self._ledger.store.pass_stage(
                self._caller.mailbox, turn=self._turn, stage=Stage.MODEL_REQUEST
            )
        except RedisError as error:
            _log.warning("stage_lost", mailbox=self._caller.mailbox, error=type(error).__name__)

    def first_byte(self) -> None:
        """The answer begins."""
        if self._first_byte is None:
            self._first_byte = self._ledger.clock() - self._started
            self._ledger.metrics.first_byte(self._first_byte)

    async def refused(self, problem: ProblemError) -> None:
        """Remembers a failure in the gateway's own words."""
        await self.failed(Failure(problem.status, problem.code, problem.detail))

    async def failed(self, failure: Failure) -> None:
        """Remembers what the call failed of, for the turn's outcome."""
        await self.ended(failure.status, failure.code, failure.detail)

    async def ended(self, status: int, code: str = "", detail: str = "") -> None:
        """Remembers how the call ended, for the turn's outcome: any success is 200."""
        self.status = status
        if self._turn is None:
            return
        try:
            await self._ledger.store.model_status(
                self._caller.mailbox,
                turn=self._turn,
                status=200 if status < 300 else status,
                code=code,
                detail=detail,
            )
        except RedisError as error:
            _log.warning("model_status_lost", status=status, error=type(error).__name__)

    async def count(self, tokens: Tokens) -> None:
        """Adds the tokens to the sums, once."""
        if self._counted or not tokens:
            return
        self._counted = True
        self.tokens = tokens
        sums = amounts(self.model, tokens, self._ledger.prices)
        by_kind = {kind: getattr(tokens, kind) for kind in TOKEN_KINDS}
        self._ledger.metrics.used(self.model, by_kind, sums.get("cost_nanousd"))
        try:
            await self._ledger.store.add_usage(
                self._caller.mailbox,
                self._caller.user,
                self._ledger.now().strftime("%Y-%m-%d"),
                sums,
            )
        except RedisError as error:
            self._ledger.metrics.usage_lost()
            _log.warning("usage_lost", mailbox=self._caller.mailbox, error=type(error).__name__)

    def close(self) -> None:
        """Writes the audit line."""
        seconds = self._ledger.clock() - self._started
        self._ledger.metrics.called(self.status, self._outcome(), seconds)
        if self._path == MESSAGES and 0 < self.status < 300 and not self._counted:
            self._ledger.metrics.usage_lost()
            _log.warning("usage_unknown", mailbox=self._caller.mailbox, model=self.model)
        first = self._first_byte
        _log.info(
            "model_call",
            namespace=self._caller.namespace,
            session=self._caller.session,
            run=self._caller.run,
            user=self._caller.user,
            turn=self._turn,
            path=self._path,
            model=self.model,
            status=self.status,
            forwarded=self.forwarded,
            input_tokens=self.tokens.input,
            output_tokens=self.tokens.output,
            cache_read_tokens=self.tokens.cache_read,
            cache_write_tokens=self.tokens.cache_write,
            first_byte_ms=None if first is None else round(first * 1000),
            ms=round(seconds * 1000),
        )

    def _outcome(self) -> str:
        # Without a status it was cancelled on its way.
        if self.status in (0, CLIENT_GONE):
            return "abandoned"
        if not self.forwarded:
            return "refused"
        return "answered" if self.status < 400 else "failed"
