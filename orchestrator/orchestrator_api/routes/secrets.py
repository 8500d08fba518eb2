"""A project's secrets: written, named, removed; never read here."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field, SecretStr
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from agentsession_core.problems import ProblemError
from orchestrator_api import forms, projects
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Answer, Call, gate
from orchestrator_api.rights import Approval, Operation
from orchestrator_api.routes.common import DryRun, ProjectId, problems
from orchestrator_api.tables import Secret
from orchestrator_api.views import Page, Time, View, Wish

router: Final = APIRouter(prefix="/v1/projects/{project_id}/secrets", tags=["secrets"])
LIST: Final = gate(Operation("secret.list", Scope.READ))
SET: Final = gate(Operation("secret.set", Scope.WRITE, Approval.STRICT, secret_body=True))
UNSET: Final = gate(Operation("secret.unset", Scope.WRITE, Approval.ALWAYS))
SECRETS_LIMIT: Final = 200
# What an environment variable may be called.
SecretName = Annotated[str, Path(pattern=forms.SECRET, max_length=128, examples=["DATABASE_URL"])]


class SecretValue(Wish):
    """A secret's value: at most 64 KiB of text."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"value": "correct horse"}]})

    value: Annotated[SecretStr, Field(min_length=1, max_length=65_536)]


class SecretView(View):
    """A secret, without its value."""

    name: str
    version: int
    created_at: Time
    updated_at: Time


def place_of(project_id: int, name: str) -> str:
    """Where a secret belongs: moved to another row it cannot be opened."""
    return f"project/{project_id}/{name}"


@router.get("", response_model=Page[SecretView], responses=problems(404))
async def list_secrets(project_id: ProjectId, call: Call = LIST) -> Response:
    """The names of a project's secrets."""
    async with call.reading() as session:
        await projects.owned(session, call.caller.user, project_id)
        query = select(Secret).where(Secret.project_id == project_id).order_by(Secret.name)
        rows = (await session.scalars(query)).all()
    return call.shown(Page[SecretView](items=[SecretView.model_validate(row) for row in rows]))


@router.put("/{name}", response_model=SecretView, responses=problems(404, 409))
async def set_secret(
    project_id: ProjectId,
    name: SecretName,
    wish: SecretValue,
    call: Call = SET,
    dry_run: DryRun = False,
) -> Response:
    """Sets a secret; a deployment that runs gets it when it is deployed next."""
    sealer = call.deps.sealer
    if sealer is None:
        raise ProblemError(503, "secrets_unavailable", "the orchestrator has no encryption key")
    sealed = sealer.seal(wish.value.get_secret_value(), place_of(project_id, name))

    async def work(session: AsyncSession) -> Answer:
        await projects.owned(session, call.caller.user, project_id, lock=True)
        await call.approve(session, f"set secret {name} of project {project_id}")
        row = await session.get(Secret, (project_id, name))
        if row is None:
            await _require_room(session, project_id)
            row = Secret(project_id=project_id, name=name, version=0, created_at=call.now)
            session.add(row)
        row.sealed, row.updated_at = sealed, call.now
        row.version += 1
        await session.flush()
        return Answer(SecretView.model_validate(row), f"project/{project_id}/secret/{name}")

    return await call.change(work)


@router.delete("/{name}", status_code=204, responses=problems(404))
async def unset_secret(
    project_id: ProjectId, name: SecretName, call: Call = UNSET, dry_run: DryRun = False
) -> Response:
    """Removes a secret. An agent's person must agree first."""

    async def work(session: AsyncSession) -> Answer:
        await projects.owned(session, call.caller.user, project_id, lock=True)
        row = await session.get(Secret, (project_id, name))
        if row is None:
            raise projects.not_found("secret", name)
        await call.approve(session, f"remove secret {name} of project {project_id}")
        await session.delete(row)
        return Answer(None, f"project/{project_id}/secret/{name}")

    return await call.change(work)


async def _require_room(session: AsyncSession, project_id: int) -> None:
    names = await session.scalars(select(Secret.name).where(Secret.project_id == project_id))
    if len(names.all()) >= SECRETS_LIMIT:
        raise ProblemError(
            409, "too_many_secrets", f"a project has at most {SECRETS_LIMIT} secrets"
        )
