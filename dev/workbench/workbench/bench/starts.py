"""AgentSession created → runner hello, beside a plain Job with the same volumes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from agentsession_core import naming
from workbench.bench.audit import Call, find_time
from workbench.bench.context import Context
from workbench.bench.figures import Figure, Section, Target, Unit, chain
from workbench.bench.ground import Body
from workbench.bench.plain_job import PlainJobs, PlainStart
from workbench.bench.sessions import Session
from workbench.bench.statistics import differences, summarise

PLAIN_CLAIM = "bench-plain-workspace"
MORE_THAN_PLAIN_SECONDS = 0.35
BEFORE_THE_CONTAINER_SECONDS = 0.05
CONTAINER_TO_HELLO_SECONDS = 0.3

OURS = {
    "created": "AgentSession created",
    "message": "message in Redis",
    "run_begun": "run begun",
    "job_posted": "Job posted",
    "pod_bound": "pod bound to a node",
    "process_made": "process made",
    "hello": "hello",
}
PLAIN = {
    "created": "plain Job created",
    "pod_bound": "pod bound to a node",
    "process_made": "process made",
    "first_instruction": "first instruction",
}
Marks = dict[str, float | None]


@dataclass(frozen=True)
class Pairs:
    """Starts beside plain Jobs, pair by pair."""

    ours: list[Marks]
    plain: list[Marks]


def measure_starts(context: Context, run_pod: Body) -> Section:
    """Pairs on volumes that are bound. `run_pod` is a run's own pod spec. Raises WorkbenchError."""
    ground = context.ground
    session, plain = context.session("start"), PlainJobs(ground, run_pod)
    plain_claim = f"{PLAIN_CLAIM}-{ground.bench_id}"
    ground.create_claim(naming.volume_claim_name(session.name), session.claim_labels())
    ground.create_claim(plain_claim, {})
    # The first use of a volume binds it and sets its owner: it belongs to no pair.
    start_session(context, session, keeps_volume=True)
    session.delete()
    plain.start(plain_claim)
    pairs = Pairs([], [])
    for number in range(context.rounds):
        mark = context.audit.mark() if context.audit else None
        jobs: list[PlainStart] = []
        if number % 2:
            jobs.append(plain.start(plain_claim))
        start = start_session(context, session, keeps_volume=True)
        session.delete()
        if not jobs:
            jobs.append(plain.start(plain_claim))
        calls = context.audit.since(mark) if context.audit and mark else []
        pairs.ours.append(start)
        pairs.plain.append(_plain_marks(jobs[0], calls))
    return report_starts(pairs)


def start_session(context: Context, session: Session, *, keeps_volume: bool) -> Marks:
    """Creates a session and waits for its first model request; Unix seconds. Raises WorkbenchError."""
    mark = context.audit.mark() if context.audit else None
    event, newest = context.mailboxes.newest_event(), context.model.newest()
    marker = uuid.uuid4().hex
    created = session.create(f"bench {marker}", keeps_volume=keeps_volume)
    record = context.model.arrival(newest, marker)
    processes = session.processes(session.wait_running_pod())
    calls = context.audit.since(mark) if context.audit and mark else []
    return {
        "created": created,
        **way_through_redis(context, session, event),
        **way_through_the_cluster(calls, session),
        "process_made": min((p.started_at for p in processes if p.pid == 1), default=None),
        "request": float(record["received_at"]),
    }


def way_through_redis(context: Context, session: Session, after: str) -> dict[str, float]:
    """The marks that Redis keeps: message, run, hello, turn."""
    events = context.mailboxes.events(session.name, after)
    run = context.mailboxes.run(session.name)
    marks: dict[str, float] = {k: events[k] for k in ("message", "turn") if k in events}
    if "hello" in events:
        # The same moments to the microsecond; of a run that began before they say nothing.
        marks |= {"run_begun": float(run["begun_at"]), "hello": float(run["hello_at"])}
    return marks


def way_through_the_cluster(calls: list[Call], session: Session) -> dict[str, float]:
    """The marks that the API server's audit log keeps."""
    found = {
        "job_posted": find_time(calls, "create", "jobs", session.name),
        "pod_bound": find_time(calls, "create", "pods/binding", session.name),
    }
    return {key: at for key, at in found.items() if at is not None}


def report_starts(pairs: Pairs) -> Section:
    """The figures of the pairs."""
    ours = _spans(pairs.ours, "created", "hello")
    plain = _spans(pairs.plain, "created", "first_instruction")
    ours_before = _spans(pairs.ours, "created", "process_made")
    plain_before = _spans(pairs.plain, "created", "process_made")
    # Between a process being made and its first instruction lies the container runtime's own work.
    runtime = summarise(_spans(pairs.plain, "process_made", "first_instruction")).p50
    to_hello = tuple(v - runtime for v in _spans(pairs.ours, "process_made", "hello"))
    stages = chain(pairs.ours, OURS)
    return Section(
        "AgentSession created → runner hello, beside a plain Job (same pod, volumes bound)",
        (
            Figure(
                "start.plain",
                "plain Job created → first instruction",
                Unit.SECONDS,
                plain,
                stages=chain(pairs.plain, PLAIN),
            ),
            Figure("start.ours", "AgentSession created → hello", Unit.SECONDS, ours, stages=stages),
            Figure(
                "start.difference",
                "ours − plain, pair by pair",
                Unit.SECONDS,
                differences(ours, plain),
                Target(MORE_THAN_PLAIN_SECONDS),
                stages,
            ),
            Figure(
                "start.difference_before_container",
                "of it before the container's process",
                Unit.SECONDS,
                differences(ours_before, plain_before),
                Target(BEFORE_THE_CONTAINER_SECONDS),
                stages[:-1],
            ),
            Figure(
                "start.container_to_hello",
                "container start → hello",
                Unit.SECONDS,
                to_hello,
                Target(CONTAINER_TO_HELLO_SECONDS),
            ),
            Figure(
                "start.request",
                "AgentSession created → request at the model server",
                Unit.SECONDS,
                _spans(pairs.ours, "created", "request"),
            ),
        ),
        (
            "Pairs take turns in who starts first. The plain Job's pod is the run's own but for its "
            "command; its first instruction is bash's clock. hello is Redis' clock when the gateway "
            "has admitted the runner.",
            "A process is made when /proc/1/stat says so, to 10 ms, in both. Container start is that "
            f"plus what passes in the plain Job until its first instruction (p50 {runtime:.3f} s): "
            "the container runtime's own work.",
        ),
    )


def _plain_marks(job: PlainStart, calls: list[Call]) -> Marks:
    return {
        "created": job.created,
        "pod_bound": find_time(calls, "create", "pods/binding", job.job),
        "process_made": job.process_made,
        "first_instruction": job.first_instruction,
    }


def _spans(rounds: list[Marks], begin: str, end: str) -> tuple[float, ...]:
    return tuple(float(marks[end] or 0) - float(marks[begin] or 0) for marks in rounds)
