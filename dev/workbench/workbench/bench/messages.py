"""Changed prompt → request at the model server: a session that is awake, and one that sleeps."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

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
# Of a message to a session that sleeps, from Redis on.
WAKING = {
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
SUSPENDED = {"changed": "prompt changed", **WAKING}


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


@dataclass
class RestedMessages:
    """Messages to the awake session between other measurements; while those ran it rested.

    What the gateway and the CLI keep for 10 to 60 s (token reviews, owners, the token itself) is old by
    then, as it is when a person writes now and then.
    """

    rounds: list[Marks] = field(default_factory=list)
    rests: list[float] = field(default_factory=list)

    def send(self, context: Context, session: Session) -> None:
        """One message. Raises WorkbenchError."""
        started = context.mailboxes.last_activity(session.name)
        marks, generation = _send(context, session)
        self.rounds.append(marks)
        self.rests.append(float(marks["changed"] or 0) - started)
        session.wait_answer(generation)

    def section(self) -> Section:
        """The figure; without a target, since n is small."""
        way, stages = spans(self.rounds, "changed", "request"), chain(self.rounds, WARM)
        rests = ", ".join(f"{rest:.0f}" for rest in self.rests)
        return Section(
            "Awake session after a rest: changed prompt → request at the model server",
            (Figure("rested", "awake, after a rest", Unit.SECONDS, way, stages=stages),),
            (f"It had rested {rests} s: what gateway and CLI cache for 10 to 60 s was old.",),
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
