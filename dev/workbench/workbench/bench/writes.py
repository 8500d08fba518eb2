"""The operator's writes to the API server in a session's life, counted by the API server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from workbench.bench.audit import AuditLog, Call, Mark, counted, without_events, writes
from workbench.bench.context import Context
from workbench.bench.figures import Figure, Section, Statistic, Target, Unit
from workbench.bench.sessions import Session

LIVES = 3
# Fewer rounds are for trying the bench: then one life is enough, too.
MANY_ROUNDS = 10
WRITES_PER_LIFE = 9
EVENTS_PER_LIFE = 8
WRITES_PER_TURN = 1
# Above the operator's own pause between two writes: what it still had to say it has said by then.
QUIET_SECONDS = 3
SUSPEND_AFTER_SECONDS = 10
SLOW_SECONDS = 4
SLOW = "bench-slow"
SLOW_RULE: dict[str, Any] = {
    "name": SLOW,
    "match": {"text": SLOW},
    "steps": [{"say": "Done.", "delay_before_seconds": SLOW_SECONDS}],
}
PASSING = (
    "A passing phase (Starting, Working, Suspending) that lasts more than 2 to 3 s is written (ADR 2): "
    "the slower the machine, the more writes."
)
NOT_COUNTED = (
    "Not counted here: this cluster shows no audit log, and the API server's metrics do not say who "
    "wrote. The local cluster has one."
)


def measure_writes(context: Context) -> Section:
    """Lives of two turns, and further turns of awake sessions. Raises WorkbenchError."""
    title = "Operator's writes to the API server, counted in its audit log"
    if context.audit is None:
        return Section(title, notes=(NOT_COUNTED,))
    count = 1 if context.rounds < MANY_ROUNDS else LIVES
    mark = context.audit.mark()
    lives = [context.session(f"life{number}") for number in range(count)]
    quick, slow = context.session("quick"), context.session("slow")
    for session in lives:
        session.create("first", suspend_after=SUSPEND_AFTER_SECONDS)
    for session in (quick, slow):
        session.create("first")
    with context.model.rules_added(SLOW_RULE):
        # Meanwhile the lives fall asleep.
        turns = _further_turns(context, context.audit, quick, slow, turns=count)
    _live_on(lives)
    calls = context.audit.since(mark)
    written = [_written(context, calls, session) for session in lives]
    return Section(title, _figures(written, *turns), _notes(written, *turns))


def _live_on(sessions: list[Session]) -> None:
    """The rest of lives that have had their first turn: asleep, awake, answered, deleted."""
    for session in sessions:
        session.wait_answer(1, "Suspended")
    asked = [(session, session.change_prompt("second")[1]) for session in sessions]
    for session, generation in asked:
        session.wait_answer(generation)
    for session in sessions:
        _wait_until_quiet(session)
    for session in sessions:
        session.delete()


def _further_turns(
    context: Context, audit: AuditLog, quick: Session, slow: Session, turns: int
) -> tuple[list[list[Call]], list[list[Call]]]:
    """Turns after the first, short ones and long ones: the calls of each."""
    words = {quick: "quick", slow: SLOW}
    found: dict[Session, list[list[Call]]] = {quick: [], slow: []}
    for session in words:
        session.wait_answer(1)
    for session in words:
        _wait_until_quiet(session)
    for _ in range(turns):
        mark: Mark = audit.mark()
        asked = {s: s.change_prompt(f"{text} {uuid.uuid4().hex}")[1] for s, text in words.items()}
        for session, generation in asked.items():
            session.wait_answer(generation)
        for session in words:
            _wait_until_quiet(session)
        calls = audit.since(mark)
        for session in words:
            found[session].append(_written(context, calls, session))
    for session in words:
        session.delete()
    return found[quick], found[slow]


def _wait_until_quiet(session: Session) -> None:
    while not session.ground.is_quiet(session.name, QUIET_SECONDS):
        pass


def _written(context: Context, calls: list[Call], session: Session) -> list[Call]:
    return writes(calls, context.operator_user, context.ground.namespace, session.name)


def _figures(
    lives: list[list[Call]], quick: list[list[Call]], slow: list[list[Call]]
) -> tuple[Figure, ...]:
    def figure(key: str, title: str, values: list[int], at_most: int) -> Figure:
        target = Target(at_most, Statistic.MAX)
        return Figure(key, title, Unit.COUNT, tuple(map(float, values)), target)

    return (
        figure(
            "writes.life",
            "a life: two turns, one suspension, one resumption, one deletion",
            [len(without_events(life)) for life in lives],
            WRITES_PER_LIFE,
        ),
        figure(
            "writes.life_events",
            "Events in that life",
            [len(life) - len(without_events(life)) for life in lives],
            EVENTS_PER_LIFE,
        ),
        figure(
            "writes.further_turn",
            "a further turn under a second",
            [len(without_events(turn)) for turn in quick],
            WRITES_PER_TURN,
        ),
        figure(
            "writes.further_slow_turn",
            f"a further turn of {SLOW_SECONDS} s",
            [len(without_events(turn)) for turn in slow],
            WRITES_PER_TURN,
        ),
    )


def _notes(
    lives: list[list[Call]], quick: list[list[Call]], slow: list[list[Call]]
) -> tuple[str, ...]:
    rows = (("a life", lives), ("a further turn", quick), ("a slow further turn", slow))
    return (PASSING, *_lists(rows))


def _lists(rows: Sequence[tuple[str, list[list[Call]]]]) -> Iterator[str]:
    yield from (
        f"Writes of {what}: {_in_words(max(rounds, key=len))}." for what, rounds in rows if rounds
    )


def _in_words(calls: list[Call]) -> str:
    return ", ".join(f"{count} × {what}" for what, count in counted(calls).items()) or "none"
