"""What workers say of the tasks that they carry out."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from agentsession_core.problems import ProblemError
from orchestrator_api import deployments, tasks
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Answer, Call, gate
from orchestrator_api.rights import Operation
from orchestrator_api.routes.common import problems
from orchestrator_api.routes.tasks import TaskId, TaskView, view_of
from orchestrator_api.views import Label, Wish

router: Final = APIRouter(prefix="/v1/work", tags=["workers"])
REPORT: Final = gate(Operation("work.report", Scope.WORKER, runs=False))


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
        tasks.note(session, row, call.now, wish.state or wish.kind, wish.message)
        await session.flush()
        return Answer(view_of(row), f"task/{row.id}", detail={"state": wish.state})

    return await call.change(work)
