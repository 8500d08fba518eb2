"""AgentSession created → runner hello, beside a plain Job with the same volumes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

from agentsession_core import naming
from workbench.bench.audit import Call, find_time
from workbench.bench.context import Context
from workbench.bench.figures import Figure, Marks, Section, Stage, Target, Unit, chain, spans
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
        pairs.plain.append(plain_marks(jobs[0], calls))
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
    ours = spans(pairs.ours, "created", "hello")
    plain = spans(pairs.plain, "created", "first_instruction")
    before = differences(
        spans(pairs.ours, "created", "process_made"),
        spans(pairs.plain, "created", "process_made"),
    )
    # Between a process being made and its first instruction lies the container runtime's own work.
    runtime = summarise(spans(pairs.plain, "process_made", "first_instruction")).p50
    to_hello = tuple(v - runtime for v in spans(pairs.ours, "process_made", "hello"))
    request = spans(pairs.ours, "created", "request")
    more = more_than_plain(pairs)

    def figure(key: str, title: str, values: tuple[float, ...]) -> Figure:
        return Figure(f"start.{key}", title, Unit.SECONDS, values)

    return Section(
        "AgentSession created → runner hello, beside a plain Job (same pod, volumes bound)",
        (
            replace(
                figure("plain", "plain Job created → first instruction", plain),
                stages=chain(pairs.plain, PLAIN),
            ),
            replace(
                figure("ours", "AgentSession created → hello", ours),
                stages=chain(pairs.ours, OURS),
            ),
            replace(
                figure("difference", "ours − plain, pair by pair", differences(ours, plain)),
                target=Target(MORE_THAN_PLAIN_SECONDS),
                stages=more,
            ),
            replace(
                figure("difference_before_container", "of it before the process is made", before),
                target=Target(BEFORE_THE_CONTAINER_SECONDS),
                bounds=more[:-1],
            ),
            replace(
                figure("container_to_hello", "container start → hello", to_hello),
                target=Target(CONTAINER_TO_HELLO_SECONDS),
            ),
            figure("request", "AgentSession created → request at the model server", request),
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


def more_than_plain(pairs: Pairs) -> tuple[Stage, ...]:
    """What ours takes longer than the plain Job, stage by stage; the sum is the whole difference."""
    audited = all(m.get("job_posted") and m.get("pod_bound") for m in pairs.ours) and all(
        m.get("pod_bound") for m in pairs.plain
    )
    # Without an audit log the Job's POST is not seen; the run's record is written just before it.
    posted = "job_posted" if audited else "run_begun"
    before = [(posted, "pod_bound"), ("pod_bound", "process_made")]
    ways = before if audited else [(posted, "process_made")]
    same = {posted: "created", "hello": "first_instruction"}
    stages = [Stage(f"AgentSession created → {OURS[posted]}", spans(pairs.ours, "created", posted))]
    for begin, end in (*ways, ("process_made", "hello")):
        theirs = spans(pairs.plain, same.get(begin, begin), same.get(end, end))
        stages.append(
            Stage(
                f"{OURS[begin]} → {OURS[end]}, more than in the plain Job",
                differences(spans(pairs.ours, begin, end), theirs),
            )
        )
    return tuple(stages)


def plain_marks(job: PlainStart, calls: list[Call]) -> Marks:
    """A plain Job's marks; the binding is the audit log's."""
    return {
        "created": job.created,
        "pod_bound": find_time(calls, "create", "pods/binding", job.job),
        "process_made": job.process_made,
        "first_instruction": job.first_instruction,
    }
