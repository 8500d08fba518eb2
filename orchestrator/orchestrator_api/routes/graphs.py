"""The workers' graphs, for administrators: which nodes there are, and what they are asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict, StringConstraints, model_validator
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from agentsession_core.problems import ProblemError
from orchestrator_api import forms, graphs, tasks
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Answer, Call, gate
from orchestrator_api.graphs import CommandKind
from orchestrator_api.listing import page_of
from orchestrator_api.paging import LIMIT, Cursor, Limit
from orchestrator_api.rights import Operation
from orchestrator_api.routes.common import DryRun, problems
from orchestrator_api.tables import GraphCommand, GraphNode, Task
from orchestrator_api.views import Name, Page, Time, View, Wish

router: Final = APIRouter(prefix="/v1/graphs", tags=["graphs"])
NODES: Final = gate(Operation("graph.nodes", Scope.ADMIN, runs=False, reads=True))
LIST: Final = gate(Operation("graph.commands", Scope.ADMIN, runs=False, reads=True))
GET: Final = gate(Operation("graph.command", Scope.ADMIN, runs=False, reads=True))
ASK: Final = gate(Operation("graph.ask", Scope.ADMIN, runs=False))
CommandId = Annotated[str, Path(pattern=forms.ID, examples=["0123456789ab"])]


class NodeView(View):
    """A node, as its worker reported it last."""

    graph: str
    node: str
    worker: str
    alive: bool
    seen_at: Time


class NodesView(View):
    """What workers have reported. `standing` says for each graph what is known of its workers."""

    items: list[NodeView]
    standing: dict[str, str]


class NewCommand(Wish):
    """Something to ask of the graph of a task: to begin at a node, or to forget its state."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"kind": "trigger-node", "task_id": "deploy-0123456789ab", "node": "deployer"}
            ]
        }
    )

    kind: CommandKind
    task_id: Annotated[str, StringConstraints(pattern=forms.TASK)]
    node: Name | Literal[""] = ""

    @model_validator(mode="after")
    def _node_where_one_belongs(self) -> NewCommand:
        if (self.kind is CommandKind.TRIGGER_NODE) != bool(self.node):
            raise ValueError("trigger-node takes a node, clear-state takes none")
        return self


class CommandView(View):
    """A command. `standing` says in words what is known of it, and no more."""

    id: str
    kind: str
    graph: str
    node: str
    task_id: str
    state: str
    standing: str
    message: str
    asked_by: str
    created_at: Time
    finished_at: Time | None


@router.get("/nodes", response_model=NodesView, responses=problems())
async def list_nodes(call: Call = NODES) -> Response:
    """The nodes that workers have reported. For administrators."""
    async with call.reading() as session:
        found = await graphs.reported(session)
    standing = {
        graph: graphs.presence(graph, [node for node in found if node.graph == graph], call.now)
        for graph in (graphs.ENGINEERING, graphs.DEVOPS)
    }
    items = [
        NodeView(
            graph=node.graph,
            node=node.name,
            worker=node.worker,
            alive=graphs.alive(node, call.now),
            seen_at=node.seen_at,
        )
        for node in found
    ]
    return call.shown(NodesView(items=items, standing=standing))


@router.get("/commands", response_model=Page[CommandView], responses=problems())
async def list_commands(
    call: Call = LIST,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    task_id: Annotated[str | None, Query(pattern=forms.TASK)] = None,
) -> Response:
    """What administrators have asked, newest first. For administrators."""
    query = select(GraphCommand, Task).join(Task, Task.number == GraphCommand.task_number)
    if task_id is not None:
        query = query.where(Task.id == task_id)
    async with call.reading() as session:
        rows, following = await page_of(
            session, query, GraphCommand.number, limit=limit, cursor=cursor, newest_first=True
        )
        nodes = await graphs.reported(session)
    items = [_view(row, task, nodes, call.now) for row, task in rows]
    return call.shown(Page[CommandView](items=items, next_cursor=following))


@router.get("/commands/{command_id}", response_model=CommandView, responses=problems(404))
async def get_command(command_id: CommandId, call: Call = GET) -> Response:
    """A command. For administrators."""
    async with call.reading() as session:
        row, task = await find(session, command_id)
        view = await command_view(session, row, task, call.now)
    return call.shown(view)


@router.post("/commands", status_code=201, response_model=CommandView, responses=problems(404, 409))
async def ask(wish: NewCommand, call: Call = ASK, dry_run: DryRun = False) -> Response:
    """Asks something of the graph of anybody's task. For administrators.

    It goes to the task's queue. That it waits there does not say that a worker is there to take it.
    """

    async def work(session: AsyncSession) -> Answer:
        task = await tasks.taken(session, wish.task_id)
        row = await graphs.ask(
            session,
            call.caller,
            task,
            call.now,
            kind=wish.kind,
            node=wish.node,
            short_id=call.deps.new_id(),
            request_id=call.request_id,
        )
        detail = {"kind": wish.kind, "node": wish.node, "user": task.user_id}
        view = await command_view(session, row, task, call.now)
        return Answer(view, f"task/{task.id}", 201, detail=detail)

    return await call.change(work)


async def find(
    session: AsyncSession, command_id: str, *, lock: bool = False
) -> tuple[GraphCommand, Task]:
    """The command and its task. Raises ProblemError 404."""
    query = (
        select(GraphCommand, Task)
        .join(Task, Task.number == GraphCommand.task_number)
        .where(GraphCommand.id == command_id)
    )
    row = (await session.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise ProblemError(404, "command_not_found", f"there is no command {command_id}")
    return row[0], row[1]


async def command_view(
    session: AsyncSession, row: GraphCommand, task: Task, now: datetime
) -> CommandView:
    """The command as administrators and workers see it."""
    nodes = await graphs.reported(session, row.graph) if row.state == graphs.QUEUED else ()
    return _view(row, task, nodes, now)


def _view(row: GraphCommand, task: Task, nodes: Sequence[GraphNode], now: datetime) -> CommandView:
    return CommandView(
        id=row.id,
        kind=row.kind,
        graph=row.graph,
        node=row.node,
        task_id=task.id,
        state=row.state,
        standing=graphs.standing(row, [node for node in nodes if node.graph == row.graph], now),
        message=row.message,
        asked_by=row.asked_by,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
