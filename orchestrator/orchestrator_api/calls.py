"""One request: who makes it, what it may do, and how its change becomes one transaction."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, TypeVar

import structlog
from fastapi import Depends
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from agentsession_core.caller import bearer_token
from agentsession_core.problems import ProblemError
from orchestrator_api import approvals, audit, conditions, idempotency
from orchestrator_api.arguments import arguments_of, is_dry_run, require_expected
from orchestrator_api.authentication import authenticate
from orchestrator_api.callers import Caller, Scope
from orchestrator_api.deps import Deps
from orchestrator_api.idempotency import Keyed
from orchestrator_api.request_ids import request_id_of
from orchestrator_api.rights import Operation, require, require_user, waits_for_approval
from orchestrator_api.telling import ear_of

T = TypeVar("T")
USER_HEADER: Final = "orchestrator-user"
IDEMPOTENCY_HEADER: Final = "idempotency-key"
_KEY = re.compile(r"^[\x21-\x7e]{1,200}$")


@dataclass
class Answer:
    """What a change answers. `target` and `detail` go to the audit log: no secret in either."""

    body: BaseModel | None
    target: str
    status: int = 200
    etag: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """A request that its caller may make."""

    deps: Deps
    caller: Caller
    operation: Operation
    request_id: str
    arguments: Mapping[str, Any]
    idempotency_key: str | None
    if_match: str | None
    if_none_match: str | None
    dry_run: bool

    @property
    def now(self) -> datetime:
        """An aware UTC time."""
        return self.deps.now()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A transaction that changes nothing."""
        async with self.deps.database.reading() as session:
            yield session

    def require_version(self, version: int) -> None:
        """Raises ProblemError 412 when the caller speaks of another version."""
        if not conditions.may_change(self.if_match, _etag(version)):
            raise ProblemError(
                412,
                "version_conflict",
                f"it was changed meanwhile and is now {_etag(version)}; read it again, then decide",
            )

    async def approve(self, session: AsyncSession, summary: str) -> None:
        """For what an agent may do with its person's agreement only. Raises ApprovalNeeded.

        To be called once it is known that what the call speaks of is there: nobody is asked about
        things that are not.
        """
        if waits_for_approval(self.caller, self.operation, strict=self.deps.strict_approvals):
            wish = approvals.Wish(self.operation.name, summary, self.arguments)
            await approvals.claim(session, self.caller, wish, self.now)

    def shown(self, body: BaseModel, version: int | None = None) -> Response:
        """The answer of a call that reads; 304 when the caller has that version."""
        if version is not None and conditions.is_known(self.if_none_match, _etag(version)):
            return Response(status_code=304, headers={"etag": _etag(version)})
        headers = {} if version is None else {"etag": _etag(version)}
        return Response(body.model_dump_json(), 200, headers, media_type="application/json")

    async def take_key(self) -> Response | None:
        """Takes the request's idempotency key in a transaction of its own; what was answered before, or
        None.

        For what changes something outside of the database, while no transaction is open: whoever died
        between that and `change` sends the same request again. Raises ProblemError 409.
        """
        keyed = self._keyed
        if keyed is None:
            return None

        async def take() -> Response | None:
            async with self.deps.database.writing() as session:
                return await idempotency.answered(session, keyed, self.now)

        return await _twice(take)

    async def change(self, work: Callable[[AsyncSession], Awaitable[Answer]]) -> Response:
        """Carries out a change in one transaction: the change, its audit entry, its idempotency key.

        `work` may be called twice: another request may have taken what it looked at.
        """
        try:
            return await _twice(lambda: self._change(work))
        except approvals.ApprovalNeeded as needed:
            raise await self._ask(needed.wish) from None

    async def _change(self, work: Callable[[AsyncSession], Awaitable[Answer]]) -> Response:
        async with self.deps.database.writing() as session:
            keyed = self._keyed
            known = await idempotency.answered(session, keyed, self.now) if keyed else None
            if known is not None:
                return known
            answer = await work(session)
            response = _response(answer)
            if self.dry_run:
                response.headers["orchestrator-dry-run"] = "true"
                await session.rollback()
                return response
            self.note(session, self.caller.user, answer.target, answer.detail)
            if keyed is not None:
                await idempotency.remember(session, keyed, response)
        self.deps.committed()
        return response

    def note(
        self, session: AsyncSession, user: str, target: str, detail: Mapping[str, Any]
    ) -> None:
        """Adds what the call does to the audit log of that user: `change` does so for the caller's."""
        audit.note(
            session,
            replace(self.caller, user=user),
            self.now,
            action=self.operation.name,
            target=target,
            request_id=self.request_id,
            detail=detail,
        )

    async def _ask(self, wish: approvals.Wish) -> ProblemError:
        if self.dry_run:
            return ProblemError(
                403, "approval_required", f"the person would be asked to agree to: {wish.summary}"
            )

        ear = await ear_of(self.deps.runs, self.caller)

        async def ask() -> ProblemError:
            async with self.deps.database.writing() as session:
                new_id = self.deps.new_id()
                return await approvals.ask(session, self.caller, wish, self.now, new_id, ear)

        problem = await _twice(ask)
        self.deps.committed()
        return problem

    @property
    def _keyed(self) -> Keyed | None:
        if self.idempotency_key is None or self.dry_run:
            return None
        return Keyed(self.caller.user, self.idempotency_key, self._fingerprint())

    def _fingerprint(self) -> str:
        return approvals.fingerprint(self.operation.name, self.arguments)


async def _twice(work: Callable[[], Awaitable[T]]) -> T:
    """Once more where another request was first in that moment: what it made is there to be seen."""
    try:
        return await work()
    except IntegrityError:
        return await work()


class Gate:
    """A route's first step: who calls, and may they do this?"""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation

    async def __call__(self, request: Request) -> Call:
        """The call. Raises ProblemError 401, 403, 422, 429 or 503."""
        deps: Deps = request.app.state.deps
        address = request.client.host if request.client else ""
        caller = await authenticate(deps, bearer_token(request.headers), address)
        structlog.contextvars.bind_contextvars(actor=caller.actor)
        if self.operation.scope is not Scope.WORKER:
            # A worker speaks of everybody's tasks, line by line, and nobody else has that scope.
            deps.rate_limits.require(caller)
        require_user(caller, request.headers.get(USER_HEADER))
        require(caller, self.operation)
        await require_expected(request)
        key = request.headers.get(IDEMPOTENCY_HEADER) if self.operation.changes else None
        if key is not None and not _KEY.match(key):
            raise ProblemError(
                422, "idempotency_key_invalid", "1 to 200 printable characters without spaces"
            )
        return Call(
            deps=deps,
            caller=caller,
            operation=self.operation,
            request_id=request_id_of(request),
            arguments=await arguments_of(request, self.operation, deps.sealer),
            idempotency_key=key,
            if_match=request.headers.get("if-match"),
            if_none_match=request.headers.get("if-none-match"),
            dry_run=is_dry_run(request),
        )


def gate(operation: Operation) -> Any:
    """The dependency of a route that carries out the operation."""
    return Depends(Gate(operation))


def _etag(version: int) -> str:
    return f'"{version}"'


def _response(answer: Answer) -> Response:
    headers = {} if answer.etag is None else {"etag": _etag(answer.etag)}
    if answer.body is None:
        return Response(status_code=204, headers=headers)
    return Response(
        answer.body.model_dump_json(), answer.status, headers, media_type="application/json"
    )
