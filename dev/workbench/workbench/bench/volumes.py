"""What a new volume adds to a start, in ours and in a plain Job."""

from __future__ import annotations

import time
import uuid

from workbench.bench.context import Context
from workbench.bench.figures import Figure, Marks, Section, Unit, chain, spans
from workbench.bench.ground import Body
from workbench.bench.plain_job import PlainJobs
from workbench.bench.starts import OURS, PLAIN, plain_marks, start_session

ROUNDS_PER_PAIR = 6
FEWEST_PAIRS = 2


def measure_new_volumes(context: Context, run_pod: Body) -> Section:
    """Pairs that begin with making the claim. Raises WorkbenchError."""
    ground, plain = context.ground, PlainJobs(context.ground, run_pod)
    ours: list[Marks] = []
    theirs: list[Marks] = []
    for number in range(max(FEWEST_PAIRS, context.rounds // ROUNDS_PER_PAIR)):
        session = context.session(f"volume{number}")
        ours.append(start_session(context, session, keeps_volume=False))
        session.delete()
        claim = f"bench-new-{uuid.uuid4().hex[:8]}"
        mark = context.audit.mark() if context.audit else None
        created = time.time()
        ground.create_claim(claim, {})
        job = plain.start(claim)
        calls = context.audit.since(mark) if context.audit and mark else []
        theirs.append({**plain_marks(job, calls), "created": created})
        ground.delete_claim(claim)
    return Section(
        "The same with a new volume",
        (
            Figure(
                "new_volume.plain",
                "claim and plain Job created → first instruction",
                Unit.SECONDS,
                spans(theirs, "created", "first_instruction"),
                stages=chain(theirs, PLAIN),
            ),
            Figure(
                "new_volume.ours",
                "AgentSession created → hello",
                Unit.SECONDS,
                spans(ours, "created", "hello"),
                stages=chain(ours, OURS),
            ),
        ),
        ("What it takes longer than above is the provisioner's and the kubelet's time.",),
    )
