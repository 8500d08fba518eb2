"""Changed prompt → request at the model server: a session that is awake, and one that sleeps."""

from __future__ import annotations

import uuid

from workbench.bench.context import Context
from workbench.bench.figures import Figure, Marks, Section, Target, Unit, chain, spans
from workbench.bench.processes import first_start
from workbench.bench.sessions import Session
from workbench.bench.starts import way_through_redis, way_through_the_cluster

WARM_SECONDS = 0.15
SUSPENDED_SECONDS = 1.5
# Long enough to look into the pod before it goes.
SUSPEND_AFTER_SECONDS = 4
CLI = "claude"

WARM = {
    "changed": "prompt changed",
    "message": "message in Redis",
    "turn": "turn given",
    "request": "request at the model server",
}
SUSPENDED = {
    "changed": "prompt changed",
    "message": "message in Redis",
    "run_begun": "run begun",
    "job_posted": "Job posted",
    "pod_bound": "pod bound to a node",
    "process_made": "process made",
    "hello": "hello",
    "cli_started": "CLI started",
    "turn": "turn given",
    "request": "request at the model server",
}


def measure_warm(context: Context, session: Session) -> Section:
    """Messages to an awake session that has answered before. Raises WorkbenchError."""
    rounds: list[Marks] = []
    for _ in range(context.rounds):
        marks, generation = _send(context, session)
        rounds.append(marks)
        session.wait_answer(generation)
    way, stages = spans(rounds, "changed", "request"), chain(rounds, WARM)
    return Section(
        "Awake session: changed prompt → request at the model server",
        (Figure("warm", "awake", Unit.SECONDS, way, Target(WARM_SECONDS), stages),),
    )


def measure_suspended(context: Context) -> Section:
    """Messages to a session whose pod is gone. Raises WorkbenchError."""
    session = context.session("asleep")
    session.create("first", suspend_after=SUSPEND_AFTER_SECONDS)
    generation = 1
    rounds: list[Marks] = []
    for _ in range(context.rounds):
        # Suspended is said once no container of the last run can still run.
        session.wait_answer(generation, "Suspended")
        mark = context.audit.mark() if context.audit else None
        marks, generation = _send(context, session)
        processes = session.processes(session.wait_running_pod())
        calls = context.audit.since(mark) if context.audit and mark else []
        made = min((p.started_at for p in processes if p.pid == 1), default=None)
        inside = {"process_made": made, "cli_started": first_start(processes, CLI)}
        rounds.append({**marks, **way_through_the_cluster(calls, session), **inside})
    session.delete()
    stages = chain(rounds, SUSPENDED)
    way = spans(rounds, "changed", "request")
    return Section(
        "Suspended session: changed prompt → request at the model server",
        (Figure("suspended", "suspended", Unit.SECONDS, way, Target(SUSPENDED_SECONDS), stages),),
        ("Image and volume are on the node. A turn is given once the CLI has been started.",),
    )


def _send(context: Context, session: Session) -> tuple[Marks, int]:
    event, newest = context.mailboxes.newest_event(), context.model.newest()
    marker = uuid.uuid4().hex
    changed, generation = session.change_prompt(f"bench {marker}")
    record = context.model.arrival(newest, marker)
    marks: Marks = {"changed": changed, "request": float(record["received_at"])}
    return {**marks, **way_through_redis(context, session, event)}, generation
