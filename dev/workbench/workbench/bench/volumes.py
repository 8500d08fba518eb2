"""What a new volume adds to a start, in ours and in a plain Job."""

from __future__ import annotations

import uuid

from workbench.bench.context import Context
from workbench.bench.figures import Figure, Section, Unit, spans
from workbench.bench.ground import Body
from workbench.bench.plain_job import PlainJobs
from workbench.bench.starts import start_session

ROUNDS_PER_PAIR = 6
FEWEST_PAIRS = 2


def measure_new_volumes(context: Context, run_pod: Body) -> Section:
    """Pairs that begin with making the claim. Raises WorkbenchError."""
    ground, plain = context.ground, PlainJobs(context.ground, run_pod)
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(max(FEWEST_PAIRS, context.rounds // ROUNDS_PER_PAIR)):
        session = context.session(f"volume{number}")
        start = start_session(context, session, keeps_volume=False)
        ours += spans([start], "created", "hello")
        session.delete()
        claim = f"bench-new-{uuid.uuid4().hex[:8]}"
        ground.create_claim(claim, {})
        job = plain.start(claim)
        theirs.append(job.first_instruction - job.created)
        ground.delete_claim(claim)
    return Section(
        "The same with a new volume",
        (
            Figure(
                "new_volume.plain",
                "claim and plain Job created → first instruction",
                Unit.SECONDS,
                tuple(theirs),
            ),
            Figure("new_volume.ours", "AgentSession created → hello", Unit.SECONDS, tuple(ours)),
        ),
        ("What it takes longer than above is the provisioner's and the kubelet's time.",),
    )
