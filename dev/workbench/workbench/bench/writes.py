"""The operator's writes to the API server in a session's life, counted by the API server."""

from __future__ import annotations

import uuid
from typing import Any

from workbench.bench.audit import AuditLog, Call, Mark, counted, without_events, writes
from workbench.bench.context import Context
from workbench.bench.figures import Figure, Section, Statistic, Target, Unit
from workbench.bench.sessions import Session

LIVES = 3
FURTHER_TURNS = 3
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
NOT_COUNTED = (
    "Not counted here: this cluster shows no audit log, and the API server's metrics do not say who "
    "wrote. The local cluster has one."
)


def measure_writes(context: Context) -> Section:
    """Lives of two turns side by side, then further turns. Raises WorkbenchError."""
    title = "Operator's writes to the API server, counted in its audit log"
    if context.audit is None:
        return Section(title, notes=(NOT_COUNTED,))
    lives = _lives(context, context.audit, min(LIVES, context.rounds))
    quick = _further_turns(context, context.audit, "quick", "quick")
    with context.model.rules_added(SLOW_RULE):
        slow = _further_turns(context, context.audit, "slow", SLOW)
    return Section(title, _figures(lives, quick, slow), _notes(lives, quick, slow))


def _lives(context: Context, audit: AuditLog, count: int) -> list[list[Call]]:
    """Created, answered, suspended, resumed, answered, deleted by a person: calls of each life."""
    mark = audit.mark()
    sessions = [context.session(f"life{number}") for number in range(count)]
    for session in sessions:
        session.create("first", suspend_after=SUSPEND_AFTER_SECONDS)
    for session in sessions:
        session.wait_answer(1, "Suspended")
    asked = [(session, session.change_prompt("second")[1]) for session in sessions]
    for session, generation in asked:
        session.wait_answer(generation)
    for session in sessions:
        _wait_until_quiet(session)
    for session in sessions:
        session.delete()
    calls = audit.since(mark)
    return [_written(context, calls, session) for session in sessions]


def _further_turns(context: Context, audit: AuditLog, kind: str, words: str) -> list[list[Call]]:
    """Turns of an awake session after its first: the calls of each."""
    session = context.session(f"turns-{kind}")
    session.create("first")
    session.wait_answer(1)
    _wait_until_quiet(session)
    turns = []
    for _ in range(FURTHER_TURNS):
        mark: Mark = audit.mark()
        _, generation = session.change_prompt(f"{words} {uuid.uuid4().hex}")
        session.wait_answer(generation)
        _wait_until_quiet(session)
        turns.append(_written(context, audit.since(mark), session))
    session.delete()
    return turns


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
    return tuple(
        f"Writes of {what}: {_in_words(max(rounds, key=len))}." for what, rounds in rows if rounds
    )


def _in_words(calls: list[Call]) -> str:
    return ", ".join(f"{count} × {what}" for what, count in counted(calls).items()) or "none"
