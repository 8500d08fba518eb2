"""API tokens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from agentsession_core.problems import ProblemError
from orchestrator_api import forms, revoking
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Answer, Call, gate
from orchestrator_api.listing import page_of
from orchestrator_api.paging import LIMIT, Cursor, Limit
from orchestrator_api.projects import not_found
from orchestrator_api.rights import Operation, scopes_held
from orchestrator_api.routes.common import DryRun, problems
from orchestrator_api.tables import ApiToken
from orchestrator_api.tokens import make_token
from orchestrator_api.views import Label, Page, Time, UserId, View, Wish

router: Final = APIRouter(prefix="/v1/tokens", tags=["tokens"])
WHO: Final = gate(Operation("token.whoami", Scope.READ))
LIST: Final = gate(Operation("token.list", Scope.TOKENS, runs=False, reads=True))
CREATE: Final = gate(Operation("token.create", Scope.TOKENS, runs=False))
REVOKE: Final = gate(Operation("token.revoke", Scope.TOKENS, runs=False))
KeepMade = Annotated[
    bool, Query(description="Let what was made with it be: to change one token for another.")
]
TokenId = Annotated[str, Path(pattern=forms.ID, examples=["0123456789ab"])]
_EXAMPLE: Final[dict[str, Any]] = {"name": "laptop", "scopes": ["write"], "days": 90}


class NewApiToken(Wish):
    """A token to make. `user_id` is for administrators; without it the token is the caller's user's."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Label
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]
    days: Annotated[int, Field(ge=1, le=3650)] | None = None
    user_id: UserId | None = None


class TokenView(View):
    """A token, without its text."""

    id: str
    user_id: str
    name: str
    scopes: list[Scope]
    created_by: str
    created_at: Time
    expires_at: Time | None
    last_used_at: Time | None
    revoked_at: Time | None


class RevokedView(View):
    """A token that is refused from now on, and the ids of those that were made with it and go, too."""

    id: str
    made_with_it: list[str]


class MadeToken(TokenView):
    """A token that was just made: its text is shown now and never again."""

    token: str


class Whoami(View):
    """Whom the API takes the caller for."""

    user_id: str
    kind: str
    actor: str
    scopes: list[Scope]


@router.get("/self", response_model=Whoami, responses=problems())
async def whoami(call: Call = WHO) -> Response:
    """Whom the API takes the caller for."""
    caller = call.caller
    return call.shown(
        Whoami(
            user_id=caller.user,
            kind=caller.kind.value,
            actor=caller.actor,
            scopes=sorted(scopes_held(caller)),
        )
    )


@router.get("", response_model=Page[TokenView], responses=problems())
async def list_tokens(call: Call = LIST, limit: Limit = LIMIT, cursor: Cursor = None) -> Response:
    """The user's tokens, revoked ones too."""
    query = select(ApiToken).where(ApiToken.user_id == call.caller.user)
    async with call.reading() as session:
        rows, following = await page_of(
            session, query, ApiToken.id, limit=limit, cursor=cursor, kind=str
        )
    items = [TokenView.model_validate(row) for (row,) in rows]
    return call.shown(Page[TokenView](items=items, next_cursor=following))


@router.post("", status_code=201, response_model=MadeToken, responses=problems())
async def create_token(wish: NewApiToken, call: Call = CREATE, dry_run: DryRun = False) -> Response:
    """Makes a token. It can do no more than the token that it is made with, and not for longer."""
    held = scopes_held(call.caller)
    if wish.scopes - held:
        raise ProblemError(
            403,
            "scope_missing",
            f"your own token has no scope {', '.join(sorted(wish.scopes - held))}",
        )
    user = wish.user_id or call.caller.user
    if user != call.caller.user and Scope.ADMIN not in held:
        raise ProblemError(
            403, "scope_missing", "a token for somebody else needs a token with scope admin"
        )
    if call.idempotency_key is not None:
        # What is answered to a repeated request is kept, and a token's text must not be.
        raise ProblemError(
            422, "idempotency_key_unfit", "a token is made without an idempotency key"
        )

    async def work(session: AsyncSession) -> Answer:
        await revoking.require_valid(session, call.caller)
        made = make_token(call.deps.new_id())
        row = ApiToken(
            id=made.id,
            user_id=user,
            name=wish.name,
            sha256=made.sha256,
            scopes=sorted(wish.scopes),
            created_by=call.caller.actor,
            created_at=call.now,
            expires_at=_end(wish.days, call),
        )
        session.add(row)
        await session.flush()
        view = TokenView.model_validate(row)
        detail = {"user": user, "name": row.name, "scopes": row.scopes}
        return Answer(
            MadeToken(**view.model_dump(), token=made.text), f"token/{row.id}", 201, detail=detail
        )

    return await call.change(work)


def _end(days: int | None, call: Call) -> datetime | None:
    """When it ends: never after the token that it is made with, or whoever found that one would stay."""
    wanted = None if days is None else call.now + timedelta(days=days)
    ends = [end for end in (wanted, call.caller.expires_at) if end is not None]
    return min(ends, default=None)


@router.delete("/{token_id}", response_model=RevokedView, responses=problems(404, 409))
async def revoke_token(
    token_id: TokenId, call: Call = REVOKE, keep_made: KeepMade = False, dry_run: DryRun = False
) -> Response:
    """Revokes a token, and what was made with it: from now on they are refused."""

    async def work(session: AsyncSession) -> Answer:
        row = await session.get(ApiToken, token_id, with_for_update=True)
        admin = Scope.ADMIN in call.caller.scopes
        if row is None or not (admin or row.user_id == call.caller.user):
            raise not_found("token", token_id)
        made = () if keep_made else await revoking.revoke_made(session, row, call.caller, call.now)
        await revoking.revoke(session, row, call.now)
        for one in made:
            # Of its user's audit log: nobody's token ends without a word in it.
            call.note(
                session, one.user_id, f"token/{one.id}", {"name": one.name, "made_with": token_id}
            )
        ids = [one.id for one in made]
        detail = {"user": row.user_id, "name": row.name, "made_with_it": ids}
        return Answer(
            RevokedView(id=token_id, made_with_it=ids), f"token/{token_id}", detail=detail
        )

    return await call.change(work)
