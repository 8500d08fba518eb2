"""The workers' graphs: what nodes have reported, and what administrators ask of them by their queues."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from agentsession_core.problems import ProblemError
from orchestrator_api import deployments, tasks
from orchestrator_api.callers import Caller
from orchestrator_api.tables import GraphCommand, GraphNode, Task

# A worker reports every half minute: four reports may be lost.
ALIVE: Final = timedelta(minutes=2)
ENGINEERING: Final = "engineering"
DEVOPS: Final = "devops"
GRAPHS: Final = {
    tasks.ENGINEERING: ENGINEERING,
    tasks.ANALYSIS: ENGINEERING,
    tasks.DEPLOY: DEVOPS,
}
QUEUED: Final = "queued"


class CommandKind(StrEnum):
    """What an administrator can ask of a task's graph."""

    TRIGGER_NODE = "trigger-node"
    CLEAR_STATE = "clear-state"


async def report(
    session: AsyncSession, worker: str, graph: str, nodes: Sequence[str], now: datetime
) -> None:
    """The worker has these nodes of that graph and no others."""
    mine = (GraphNode.worker == worker, GraphNode.graph == graph)
    await session.execute(delete(GraphNode).where(*mine))
    session.add_all(
        GraphNode(worker=worker, graph=graph, name=name, seen_at=now) for name in sorted(set(nodes))
    )
    await session.flush()


async def reported(session: AsyncSession, graph: str | None = None) -> Sequence[GraphNode]:
    """Every node that a worker has reported, whenever that was."""
    query = select(GraphNode).order_by(GraphNode.graph, GraphNode.name, GraphNode.worker)
    if graph is not None:
        query = query.where(GraphNode.graph == graph)
    return (await session.scalars(query)).all()


def alive(node: GraphNode, now: datetime) -> bool:
    """Whether its worker has reported lately."""
    return now - node.seen_at < ALIVE


async def gone(session: AsyncSession, worker: str, now: datetime) -> bool:
    """Whether nobody has heard of the worker lately."""
    newest = await session.scalar(
        select(func.max(GraphNode.seen_at)).where(GraphNode.worker == worker)
    )
    return newest is None or now - newest >= ALIVE


def presence(graph: str, nodes: Sequence[GraphNode], now: datetime) -> str:
    """What is known of the graph's workers, in words."""
    if not nodes:
        return f"no worker of the {graph} graph has reported"
    newest = max(nodes, key=lambda node: node.seen_at)
    seconds = int((now - newest.seen_at).total_seconds())
    if not alive(newest, now):
        return f"no worker of the {graph} graph has reported for {seconds} s"
    return f"worker {newest.worker} of the {graph} graph reported {seconds} s ago"


def presences(nodes: Sequence[GraphNode], now: datetime) -> dict[str, str]:
    """What is known of the workers of each graph: `ok`, or in words."""
    return {
        f"{graph} workers": "ok"
        if any(alive(node, now) for node in nodes if node.graph == graph)
        else presence(graph, [node for node in nodes if node.graph == graph], now)
        for graph in (ENGINEERING, DEVOPS)
    }


def standing(command: GraphCommand, nodes: Sequence[GraphNode], now: datetime) -> str:
    """What is known of a command; `nodes` are its graph's."""
    if command.state != QUEUED:
        return f"{command.state} by worker {command.worker}"
    return f"waits in its queue: {presence(command.graph, nodes, now)}"


async def ask(
    session: AsyncSession,
    caller: Caller,
    task: Task,
    now: datetime,
    *,
    kind: CommandKind,
    node: str,
    short_id: str,
    request_id: str,
) -> GraphCommand:
    """Queues a command for the task's graph. The task must be locked. Raises ProblemError 404, 409.

    A task that has ended and is to begin again at a node is queued again: its worker tells the rest.
    """
    graph = GRAPHS[task.kind]
    if task.state in tasks.BEGUN:
        raise ProblemError(
            409,
            "task_state",
            f"task {task.id} is {task.state}, worker {task.worker}: cancel it first, or wait",
        )
    if kind is CommandKind.TRIGGER_NODE:
        await _require_node(session, graph, node, now)
        if task.state in tasks.ENDED:
            await _reopen(session, task, now, node)
    else:
        tasks.note(session, task, now, "graph", "an administrator asked to clear its graph's state")
    row = GraphCommand(
        id=short_id,
        kind=kind,
        graph=graph,
        node=node,
        task_number=task.number,
        state=QUEUED,
        worker="",
        message="",
        asked_by=caller.actor,
        created_at=now,
    )
    session.add(row)
    await session.flush()
    tasks.enqueue(session, task, now, request_id=request_id, command=fields_of(row))
    return row


def fields_of(command: GraphCommand) -> dict[str, str]:
    """What the command's entry says beside its task."""
    return {"command_id": command.id, "command": command.kind, "node": command.node}


async def _require_node(session: AsyncSession, graph: str, node: str, now: datetime) -> None:
    known = {one.name for one in await reported(session, graph) if alive(one, now)}
    if known and node not in known:
        raise ProblemError(
            404,
            "node_not_found",
            f"no worker of the {graph} graph has a node {node!r}; there are "
            f"{', '.join(sorted(known))}",
        )


async def _reopen(session: AsyncSession, task: Task, now: datetime, node: str) -> None:
    if task.kind == tasks.DEPLOY and task.project_id is not None:
        await deployments.require_none_running(session, task.project_id)
    tasks.reopen(task)
    tasks.note(session, task, now, tasks.QUEUED, f"queued again, to begin at node {node}")
