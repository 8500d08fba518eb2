"""What the operator writes in a life, counted by the API server while others live theirs."""

from __future__ import annotations

from sessionload.arrivals import burst
from sessionload.generator import Habits, Kind, Sample, open_loop
from sessionload.ground import SESSIONS
from sessionload.scene import OPERATOR_USER, Scene
from workbench.bench.audit import counted, without_events, writes
from workbench.bench.figures import Figure, Section, Statistic, Target, Unit

WRITES_PER_LIFE = 9
EVENTS_PER_LIFE = 8


async def measure_lives(scene: Scene, count: int) -> Section:
    """Lives of two turns, one suspension, one resumption; a person deletes them. Raises LateError.

    All at once: on a busy machine passing phases last longer than two seconds, and are written.
    """
    await scene.quiet()
    mark = scene.audit.mark()
    first = await open_loop(burst(count), lambda n, at: scene.cold("life", n, "lives", at))
    names = [sample.name for sample in first if not sample.error]
    woken = await open_loop(
        burst(len(names)),
        lambda n, at: scene.generator.wake(Sample(names[n], Kind.RESUMED, "lives", at), Habits()),
    )
    await scene.quiet()
    for name in names:
        await scene.generator.remove(name)
        scene.names.remove(name)
    await scene.quiet()
    calls = scene.audit.since(mark)
    lives = [writes(calls, OPERATOR_USER, SESSIONS, name) for name in names]
    failed = [sample.error for sample in (*first, *woken) if sample.error]
    figures = (
        Figure(
            "lives.writes",
            "writes in a life: two turns, one suspension, one resumption; deleted by a person",
            Unit.COUNT,
            tuple(float(len(without_events(life))) for life in lives),
            Target(WRITES_PER_LIFE, Statistic.MAX),
        ),
        Figure(
            "lives.events",
            "Events in that life",
            Unit.COUNT,
            tuple(float(len(life) - len(without_events(life))) for life in lives),
            Target(EVENTS_PER_LIFE, Statistic.MAX),
        ),
    )
    most = max(lives, key=lambda life: len(without_events(life)), default=[])
    words = ", ".join(f"{n} × {what}" for what, n in counted(most).items())
    notes = [f"The life with the most writes: {words}."]
    notes += [f"{len(failed)} failed, the first: {failed[0]}."] if failed else []
    shown = tuple(figure for figure in figures if figure.values)
    return Section("Operator's writes in a life, counted in the audit log", shown, tuple(notes))
