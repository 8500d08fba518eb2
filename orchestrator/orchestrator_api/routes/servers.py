"""Servers, and their ports that projects have."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from agentsession_core.problems import ProblemError
from orchestrator_api import allocations, forms, projects
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Answer, Call, gate
from orchestrator_api.listing import page_of
from orchestrator_api.paging import LIMIT, Cursor, Limit
from orchestrator_api.rights import Approval, Operation
from orchestrator_api.routes.common import DryRun, ProjectId, problems
from orchestrator_api.tables import Allocation, Project, Server
from orchestrator_api.views import Name, Page, Time, View, Wish

router: Final = APIRouter(prefix="/v1", tags=["infrastructure"])
LIST: Final = gate(Operation("server.list", Scope.READ))
ADD: Final = gate(Operation("server.add", Scope.ADMIN, runs=False))
REMOVE: Final = gate(Operation("server.remove", Scope.ADMIN, runs=False))
ALLOCATIONS: Final = gate(Operation("allocation.list", Scope.READ))
ALLOCATE: Final = gate(Operation("allocation.create", Scope.WRITE))
RELEASE: Final = gate(Operation("allocation.release", Scope.WRITE, Approval.ALWAYS))
ServerName = Annotated[str, Path(pattern=forms.SERVER, examples=["vps-1"])]
AllocationId = Annotated[int, Path(ge=1, le=2**53, examples=[1])]
Host = Annotated[str, StringConstraints(pattern=forms.HOST)]
Port = Annotated[int, Field(ge=1, le=65_535)]
_EXAMPLE: Final[dict[str, Any]] = {
    "name": "vps-1",
    "kind": "ssh",
    "host": "vps-1.example.com",
    "first_port": 20_000,
    "last_port": 20_999,
}


class NewServer(Wish):
    """A server, with the ports that projects may have."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    kind: Literal["ssh", "kubernetes"]
    host: Host
    first_port: Port
    last_port: Port

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first_port > self.last_port:
            raise ValueError("first_port is above last_port")
        return self


class ServerView(View):
    """A server, and how much of it is free; not who has the rest."""

    name: str
    kind: str
    host: str
    first_port: int
    last_port: int
    free_ports: int
    created_at: Time


class NewAllocation(Wish):
    """A port for a service of a project; without `server` and `port` any will do."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"service": "web"}]})

    service: Name
    server: Name | None = None
    port: Port | None = None


class AllocationView(View):
    """A port that a project's service has to itself. `created` is false for one that it had."""

    id: int
    project_id: int
    service: str
    server: str
    host: str
    port: int
    created_at: Time
    created: bool | None = None


def _server_view(row: Server, taken: int) -> ServerView:
    return ServerView(
        name=row.name,
        kind=row.kind,
        host=row.host,
        first_port=row.first_port,
        last_port=row.last_port,
        free_ports=row.last_port - row.first_port + 1 - taken,
        created_at=row.created_at,
    )


def _view(row: Allocation, server: Server, created: bool | None = None) -> AllocationView:
    return AllocationView(
        id=row.id,
        project_id=row.project_id,
        service=row.service,
        server=server.name,
        host=server.host,
        port=row.port,
        created_at=row.created_at,
        created=created,
    )


@router.get("/servers", response_model=Page[ServerView], responses=problems())
async def list_servers(call: Call = LIST) -> Response:
    """All servers: they belong to everybody."""
    async with call.reading() as session:
        rows = await allocations.servers(session)
    return call.shown(Page[ServerView](items=[_server_view(row, taken) for row, taken in rows]))


@router.post("/servers", status_code=201, response_model=ServerView, responses=problems(409))
async def add_server(wish: NewServer, call: Call = ADD, dry_run: DryRun = False) -> Response:
    """Adds a server. For administrators."""

    async def work(session: AsyncSession) -> Answer:
        if await session.scalar(select(Server.id).where(Server.name == wish.name)):
            raise ProblemError(409, "server_exists", f"there is a server {wish.name!r} already")
        row = Server(**wish.model_dump(), created_at=call.now)
        session.add(row)
        await session.flush()
        return Answer(_server_view(row, 0), f"server/{row.name}", 201)

    return await call.change(work)


@router.delete("/servers/{server_name}", status_code=204, responses=problems(404, 409))
async def remove_server(
    server_name: ServerName, call: Call = REMOVE, dry_run: DryRun = False
) -> Response:
    """Removes a server that no project has a port of. For administrators."""

    async def work(session: AsyncSession) -> Answer:
        row = await allocations.server_named(session, server_name)
        await allocations.remove_server(session, row)
        return Answer(None, f"server/{server_name}")

    return await call.change(work)


@router.get("/allocations", response_model=Page[AllocationView], responses=problems())
async def list_allocations(
    call: Call = ALLOCATIONS, limit: Limit = LIMIT, cursor: Cursor = None
) -> Response:
    """The ports of the user's projects."""
    query = (
        select(Allocation, Server)
        .join(Project, Project.id == Allocation.project_id)
        .join(Server, Server.id == Allocation.server_id)
        .where(Project.user_id == call.caller.user)
    )
    async with call.reading() as session:
        rows, following = await page_of(session, query, Allocation.id, limit=limit, cursor=cursor)
    items = [_view(row, server) for row, server in rows]
    return call.shown(Page[AllocationView](items=items, next_cursor=following))


@router.post(
    "/projects/{project_id}/allocations",
    status_code=201,
    response_model=AllocationView,
    responses=problems(404, 409),
)
async def allocate(
    project_id: ProjectId, wish: NewAllocation, call: Call = ALLOCATE, dry_run: DryRun = False
) -> Response:
    """Takes a port for a service; one that it has on that server already is answered again."""

    async def work(session: AsyncSession) -> Answer:
        project = await projects.owned(session, call.caller.user, project_id)
        row, server, created = await allocations.allocate(
            session,
            project,
            call.now,
            service=wish.service,
            server=wish.server,
            port=wish.port,
        )
        view = _view(row, server, created)
        return Answer(view, f"allocation/{row.id}", 201 if created else 200)

    return await call.change(work)


@router.delete("/allocations/{allocation_id}", status_code=204, responses=problems(404))
async def release(
    allocation_id: AllocationId, call: Call = RELEASE, dry_run: DryRun = False
) -> Response:
    """Gives a port back. An agent's person must agree first."""

    async def work(session: AsyncSession) -> Answer:
        row, server = await allocations.owned(session, call.caller.user, allocation_id)
        await call.approve(
            session,
            f"release port {row.port} of {server.name}, which {row.service} of project "
            f"{row.project_id} has",
        )
        await session.delete(row)
        await session.flush()
        return Answer(None, f"allocation/{allocation_id}", detail={"port": row.port})

    return await call.change(work)
