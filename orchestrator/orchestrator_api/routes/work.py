"""What workers say: of the tasks that they carry out, of themselves, of administrators' commands."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from agentsession_core.problems import ProblemError
from orchestrator_api import deployments, forms, graphs, tasks
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Answer, Call, gate
from orchestrator_api.rights import Operation
from orchestrator_api.routes.common import problems
from orchestrator_api.routes.graphs import CommandId, CommandView, command_view, find
from orchestrator_api.routes.tasks import TaskId, TaskView, view_of
from orchestrator_api.views import Label, Name, Wish

router: Final = APIRouter(prefix="/v1/work", tags=["workers"])
REPORT: Final = gate(Operation("work.report", Scope.WORKER, runs=False))
NODES: Final = gate(Operation("work.nodes", Scope.WORKER, runs=False))
COMMAND: Final = gate(Operation("work.command", Scope.WORKER, runs=False))


class Report(Wish):
    """What a worker says. Without `state` the task stays as it is; `log` lines are no news to people."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"worker": "worker-0", "state": "running", "message": "began"}]
        }
    )

    worker: Label
    message: Annotated[str, Field(max_length=16_384)]
    kind: Literal["progress", "log"] = "progress"
    state: Literal["running", "waiting", "succeeded", "failed", "cancelled"] | None = None
    revision: Annotated[str, StringConstraints(pattern=forms.COMMIT)] | None = Field(
        default=None, description="Of the repository that is deployed: a commit."
    )
    result: Annotated[dict[str, Any], Field(max_length=50)] = Field(default_factory=dict)


@router.post("/{task_id}/reports", response_model=TaskView, responses=problems(404, 409))
async def report(task_id: TaskId, wish: Report, call: Call = REPORT) -> Response:
    """Takes a task, says how it goes, ends it. One worker has a task; another is refused."""

    async def work(session: AsyncSession) -> Answer:
        row = await tasks.taken(session, task_id)
        if row.worker not in ("", wish.worker):
            raise ProblemError(409, "task_taken", f"task {task_id} is worker {row.worker}'s")
        if wish.state is not None:
            tasks.move(row, wish.state, call.now, wish.worker)
            row.result = {**row.result, **wish.result}
            await deployments.follow(session, row, call.now)
        elif row.worker == "" or row.state in tasks.ENDED:
            raise ProblemError(409, "task_state", f"task {task_id} is {row.state}")
        if wish.revision is not None:
            await deployments.made_of(session, row, wish.revision)
        tasks.note(session, row, call.now, wish.state or wish.kind, wish.message)
        await session.flush()
        return Answer(view_of(row), f"task/{row.id}", detail={"state": wish.state})

    return await call.change(work)


class NodeReport(Wish):
    """The nodes that a worker has of a graph: all of them, every half minute."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"worker": "worker-0", "graph": "engineering", "nodes": ["architect", "tester"]}
            ]
        }
    )

    worker: Label
    graph: Literal["engineering", "devops"]
    nodes: Annotated[list[Name], Field(max_length=50)]


@router.post("/nodes", status_code=204, responses=problems())
async def report_nodes(wish: NodeReport, call: Call = NODES) -> Response:
    """Says that a worker is there, and what nodes it has."""
    # A sign of life, no change of anybody's: it would fill the audit log.
    async with call.deps.database.writing() as session:
        await graphs.report(session, wish.worker, wish.graph, wish.nodes, call.now)
    return Response(status_code=204)


class CommandReport(Wish):
    """What came of an administrator's command."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"worker": "worker-0", "state": "done", "message": "the state is gone"}]
        }
    )

    worker: Label
    state: Literal["done", "failed"]
    message: Annotated[str, Field(max_length=16_384)]


@router.post(
    "/commands/{command_id}/reports", response_model=CommandView, responses=problems(404, 409)
)
async def report_command(
    command_id: CommandId, wish: CommandReport, call: Call = COMMAND
) -> Response:
    """Ends an administrator's command."""

    async def work(session: AsyncSession) -> Answer:
        row, task = await find(session, command_id, lock=True)
        if row.state != graphs.QUEUED:
            raise ProblemError(409, "command_ended", f"command {command_id} is {row.state}")
        row.state, row.worker, row.message = wish.state, wish.worker, wish.message
        row.finished_at = call.now
        tasks.note(session, task, call.now, "graph", f"{row.kind}: {wish.message}")
        await session.flush()
        return Answer(await command_view(session, row, task, call.now), f"command/{row.id}")

    return await call.change(work)
