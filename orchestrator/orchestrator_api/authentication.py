"""From a request's token to its caller."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import update

from agentsession_core.api.values import Approvals
from agentsession_core.identity import Identity
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.problems import ProblemError
from agentsession_core.run_access import require_current
from agentsession_core.templates import Templates
from orchestrator_api import tokens
from orchestrator_api.callers import Caller, Scope, run_caller, token_caller
from orchestrator_api.deps import Deps
from orchestrator_api.tables import ApiToken

# Often enough to find tokens that nobody uses, seldom enough that reading is not writing.
USE_NOTED_EVERY: Final = timedelta(hours=1)


async def authenticate(deps: Deps, token: str, address: str) -> Caller:
    """The caller. Raises ProblemError 401, 403 or 503."""
    known = tokens.token_id(token)
    if known is not None:
        return await _holder(deps, token, known)
    if deps.identity is None or deps.runs is None or deps.templates is None:
        raise ProblemError(
            401, "token_invalid", "not an API token; outside of a cluster no other is taken"
        )
    return await _run(deps.identity, deps.runs, deps.templates, token, address)


async def _run(
    identity: Identity, runs: MailboxStore, templates: Templates, token: str, address: str
) -> Caller:
    recognised = await identity.recognise(token, address=address)
    caller = recognised.caller
    # A token outlives its pod and its run: what counts is the run that the mailbox has now.
    check = await runs.check_run(
        caller.mailbox, run=caller.run, pod_uid=caller.pod_uid, grace_seconds=0
    )
    require_current(check.answer)
    template = await templates.of(recognised.session)
    asks_more = template.approvals is Approvals.ALL
    return run_caller(caller.user, caller.mailbox, caller.run, asks_more=asks_more)


async def _holder(deps: Deps, token: str, known: str) -> Caller:
    async with deps.database.reading() as session:
        row = await session.get(ApiToken, known)
    now = deps.now()
    if row is None or not tokens.same(token, row.sha256):
        raise ProblemError(401, "token_invalid", "the API token is not known; make a new one")
    if row.revoked_at is not None:
        raise ProblemError(401, "token_revoked", f"API token {row.name!r} was revoked")
    if row.expires_at is not None and row.expires_at <= now:
        raise ProblemError(401, "token_expired", f"API token {row.name!r} has expired")
    if row.last_used_at is None or now - row.last_used_at >= USE_NOTED_EVERY:
        await _note_use(deps, row.id, now)
    scopes = frozenset(Scope(scope) for scope in row.scopes)
    return token_caller(row.user_id, row.id, scopes, row.expires_at)


async def _note_use(deps: Deps, token: str, now: datetime) -> None:
    async with deps.database.writing() as session:
        await session.execute(update(ApiToken).where(ApiToken.id == token).values(last_used_at=now))
