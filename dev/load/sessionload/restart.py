"""How long after a `kill -9` the operator has looked at everything."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from agentsession_operator.opening import SPREAD_SECONDS
from sessionload.cost import usage
from sessionload.generator import Habits, Kind, Sample
from sessionload.ground import OPERATOR
from sessionload.scene import OPERATOR_USER, Scene
from workbench.bench.figures import Figure, Section, Stage, Statistic, Target, Unit

RECONCILED_SECONDS = 10
DEADLINE_SECONDS = 300.0
LOOK_SECONDS = 0.2
# Of fewer nobody sees in a process' time that those at rest are looked at one after the other.
MANY = 500
STAGES = (("ready", "caches filled"), ("reconciled", "every session looked at"))


async def measure_restart(
    scene: Scene, sessions: int, meanwhile: Callable[[], Awaitable[None]]
) -> Section:
    """Kills the operator, does something and wakes one session meanwhile, starts it again.

    Raises TimeoutError, ApiError.
    """
    await scene.quiet()
    scene.ground.kill(OPERATOR)
    await meanwhile()
    mark = scene.audit.mark()
    log = scene.ground.plane.processes.log(OPERATOR)
    size = log.stat().st_size
    # What happens while it is down is what it has to find by itself.
    # Not the first session: that one is the model of those to be laid down.
    sample = Sample(scene.names[1], Kind.RESUMED, "restart", time.time())
    waking = asyncio.create_task(scene.generator.wake(sample, Habits()))
    await asyncio.sleep(LOOK_SECONDS)
    started = time.time()
    scene.ground.start_operator()
    stamps: dict[str, float] = {}
    async with asyncio.timeout(DEADLINE_SECONDS):
        while "reconciled" not in stamps:
            await asyncio.sleep(LOOK_SECONDS)
            stamps = _stamps(log.read_bytes()[size:].decode(errors="replace"))
    scene.looked_at_by = started + (SPREAD_SECONDS if sessions >= MANY else 0)
    calls = [c for c in scene.audit.since(mark) if c.is_write and c.user == OPERATOR_USER]
    others = [call for call in calls if not call.name.startswith(sample.name)]
    woken = await waking
    used = usage(scene.ground.pid(OPERATOR))
    before, stages = started, []
    for key, title in STAGES:
        stages.append(Stage(title, (stamps[key] - before,)))
        before = stamps[key]
    figure = Figure(
        f"restart.{sessions}",
        f"operator started again → all of {sessions} sessions reconciled",
        Unit.SECONDS,
        (stamps["reconciled"] - started,),
        Target(RECONCILED_SECONDS, Statistic.MAX),
        tuple(stages),
    )
    served = (woken.answered or started) - started
    return Section(
        f"The operator killed and started again, {sessions} sessions",
        (
            figure,
            Figure(
                f"restart.first.{sessions}",
                "operator started again → a prompt of meanwhile is answered",
                Unit.SECONDS,
                (served,),
            ),
        ),
        (
            f"After it the operator has used {used.processor:.1f} s of processor and has "
            f"{used.resident / 2**20:.0f} MiB. Until then it had written {len(others)} times about "
            "other sessions than the one that was woken."
            + (f" The prompt of meanwhile: {woken.error}." if woken.error else ""),
        ),
    )


def _stamps(log: str) -> dict[str, float]:
    """When the operator wrote each of its lines about its start; Unix seconds."""
    found: dict[str, float] = {}
    wanted = {key for key, _ in STAGES}
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("event") in wanted:
            found.setdefault(entry["event"], datetime.fromisoformat(entry["at"]).timestamp())
    return found
