"""What agents ask their person."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from orchestrator_api import forms
from orchestrator_api.approvals import APPROVED, DENIED, PENDING, decide
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Answer, Call, gate
from orchestrator_api.paging import LIMIT, Cursor, Limit, cursor_invalid
from orchestrator_api.projects import not_found
from orchestrator_api.rights import Operation
from orchestrator_api.routes.common import DryRun, problems
from orchestrator_api.tables import Approval
from orchestrator_api.views import Page, Time, View

router: Final = APIRouter(prefix="/v1/approvals", tags=["approvals"])
LIST: Final = gate(Operation("approval.list", Scope.READ))
GET: Final = gate(Operation("approval.get", Scope.READ))
APPROVE: Final = gate(Operation("approval.approve", Scope.APPROVE, runs=False))
DENY: Final = gate(Operation("approval.deny", Scope.APPROVE, runs=False))
ApprovalId = Annotated[str, Path(pattern=forms.ID, examples=["0123456789ab"])]
EXPIRED: Final = "expired"


class ApprovalView(View):
    """An agent's wish. `arguments` are what it is bound to, to the letter."""

    id: str
    operation: str
    summary: str
    arguments: dict[str, Any]
    requested_by: str
    state: str
    created_at: Time
    expires_at: Time
    decided_at: Time | None
    decided_by: str


def _view(row: Approval, call: Call) -> ApprovalView:
    view = ApprovalView.model_validate(row)
    if row.state in (PENDING, APPROVED) and row.expires_at <= call.now:
        return view.model_copy(update={"state": EXPIRED})
    return view


@router.get("", response_model=Page[ApprovalView], responses=problems())
async def list_approvals(
    call: Call = LIST, limit: Limit = LIMIT, cursor: Cursor = None, pending: bool = False
) -> Response:
    """What was asked, newest first; with `pending` only what can be decided now."""
    query = select(Approval).where(Approval.user_id == call.caller.user)
    if pending:
        query = query.where(Approval.state == PENDING, Approval.expires_at > call.now)
    async with call.reading() as session:
        if cursor is not None:
            after = await session.get(Approval, cursor) if cursor.isalnum() else None
            if after is None or after.user_id != call.caller.user:
                raise cursor_invalid()
            query = query.where(
                tuple_(Approval.created_at, Approval.id) < tuple_(after.created_at, after.id)
            )
        rows = (
            await session.scalars(
                query.order_by(Approval.created_at.desc(), Approval.id.desc()).limit(limit + 1)
            )
        ).all()
    following = rows[limit - 1].id if len(rows) > limit else None
    items = [_view(row, call) for row in rows[:limit]]
    return call.shown(Page[ApprovalView](items=items, next_cursor=following))


@router.get("/{approval_id}", response_model=ApprovalView, responses=problems(404))
async def get_approval(approval_id: ApprovalId, call: Call = GET) -> Response:
    """One wish."""
    async with call.reading() as session:
        row = await session.get(Approval, approval_id)
    return call.shown(_view(_owned(row, call, approval_id), call))


@router.post("/{approval_id}/approve", response_model=ApprovalView, responses=problems(404, 409))
async def approve(
    approval_id: ApprovalId, call: Call = APPROVE, dry_run: DryRun = False
) -> Response:
    """Agrees: the agent's very call works once, until the wish expires."""
    return await _decide(call, approval_id, APPROVED)


@router.post("/{approval_id}/deny", response_model=ApprovalView, responses=problems(404, 409))
async def deny(approval_id: ApprovalId, call: Call = DENY, dry_run: DryRun = False) -> Response:
    """Refuses: the agent is told so, and the person is not asked again until the wish expires."""
    return await _decide(call, approval_id, DENIED)


def _owned(row: Approval | None, call: Call, approval_id: str) -> Approval:
    if row is None or row.user_id != call.caller.user:
        raise not_found("approval", approval_id)
    return row


async def _decide(call: Call, approval_id: str, state: str) -> Response:
    async def work(session: AsyncSession) -> Answer:
        found = await session.get(Approval, approval_id, with_for_update=True)
        row = _owned(found, call, approval_id)
        decide(row, state, call.caller.actor, call.now)
        detail = {"operation": row.operation, "arguments": row.arguments}
        return Answer(_view(row, call), f"approval/{row.id}", detail=detail)

    return await call.change(work)
