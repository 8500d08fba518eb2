"""What sessions cost that nobody talks to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sessionload.cost import Stored, calls_by_user, redis_bytes
from sessionload.ground import GATEWAY, OPERATOR
from sessionload.scene import GATEWAY_USER, OPERATOR_USER, Scene
from workbench.bench.figures import Figure, Section, Statistic, Target, Unit

MINUTE = 60.0
MEBIBYTE, KIBIBYTE = 2**20, 2**10
OPERATOR_MEBIBYTES = 200
OPERATOR_CORE_PERCENT = 1


@dataclass(frozen=True)
class Minute:
    """One minute in which nothing was asked of so many idle sessions.

    `processor` in seconds by part, `calls` by part and kind; bytes.
    """

    sessions: int
    seconds: float
    resident: dict[str, int]
    processor: dict[str, float]
    calls: dict[str, dict[str, int]]
    stored: dict[str, Stored]
    redis: int


async def measure_minute(scene: Scene, sessions: int, seconds: float = MINUTE) -> Minute:
    """Watches idle sessions for so long. Raises TimeoutError when they do not come to rest."""
    await scene.quiet()
    parts = (OPERATOR, GATEWAY)
    mark = scene.audit.mark()
    before = {part: scene.usage(part) for part in parts}
    await asyncio.sleep(seconds)
    after = {part: scene.usage(part) for part in parts}
    calls = scene.audit.since(mark)
    users = {OPERATOR: OPERATOR_USER, GATEWAY: GATEWAY_USER}
    return Minute(
        sessions=sessions,
        seconds=seconds,
        resident={part: after[part].resident for part in parts},
        processor={part: after[part].processor - before[part].processor for part in parts},
        calls={part: calls_by_user(calls, users[part]) for part in parts},
        stored=await asyncio.to_thread(scene.etcd.stored),
        redis=await redis_bytes(scene.redis),
    )


def idle_section(minutes: Sequence[Minute]) -> Section:
    """The minutes as figures; slopes between the first and the last."""
    last = minutes[-1]
    figures = [figure for minute in minutes for figure in _figures(minute)]
    # The targets are for the largest number of sessions only.
    figures = [
        figure if figure.key.endswith(f".{last.sessions}") else replace(figure, target=None)
        for figure in figures
    ]
    return Section(
        "Idle sessions, each after a whole life",
        tuple([*figures, *_slopes(minutes[0], last)]),
        tuple(_notes(minutes)),
    )


def _figures(minute: Minute) -> list[Figure]:
    number = minute.sessions

    def figure(key: str, title: str, unit: Unit, value: float, at_most: float | None) -> Figure:
        target = None if at_most is None else Target(at_most, Statistic.MAX)
        return Figure(f"idle.{key}.{number}", f"{title}, {number} sessions", unit, (value,), target)

    share = minute.processor[OPERATOR] / minute.seconds * 100
    calls = sum(minute.calls[OPERATOR].values()) * MINUTE / minute.seconds
    resident = minute.resident[OPERATOR] / MEBIBYTE
    return [
        figure("memory", "operator's memory", Unit.MEBIBYTES, resident, OPERATOR_MEBIBYTES),
        figure("core", "operator's share of a core", Unit.PERCENT, share, OPERATOR_CORE_PERCENT),
        figure(
            "calls", "operator's requests to the API server in a minute", Unit.COUNT, calls, None
        ),
    ]


def _slopes(first: Minute, last: Minute) -> list[Figure]:
    added = last.sessions - first.sessions
    if added <= 0:
        return []
    memory = (last.resident[OPERATOR] - first.resident[OPERATOR]) / added / KIBIBYTE
    redis = (last.redis - first.redis) / added / KIBIBYTE
    kinds = ("agentsessions", "persistentvolumeclaims", "persistentvolumes")
    etcd = sum(last.stored[k].size for k in kinds) / last.stored["agentsessions"].count / KIBIBYTE
    return [
        Figure("idle.slope.operator", "operator, per session", Unit.KIBIBYTES, (memory,)),
        Figure("idle.slope.redis", "Redis, per session", Unit.KIBIBYTES, (redis,)),
        Figure("idle.slope.etcd", "etcd, per session with its volume", Unit.KIBIBYTES, (etcd,)),
    ]


def _notes(minutes: Sequence[Minute]) -> list[str]:
    notes = []
    for minute in minutes:
        for part in (OPERATOR, GATEWAY):
            calls = ", ".join(f"{n} × {what}" for what, n in minute.calls[part].items()) or "none"
            notes.append(
                f"{minute.sessions} sessions, {minute.seconds:.0f} s: the {part} used "
                f"{minute.processor[part]:.2f} s of processor and "
                f"{minute.resident[part] / MEBIBYTE:.0f} MiB; its requests: {calls}."
            )
    stored = minutes[-1].stored
    kinds = sorted(stored, key=lambda kind: -stored[kind].size)[:6]
    sizes = ", ".join(
        f"{stored[kind].count} {kind} {stored[kind].size / MEBIBYTE:.1f} MiB" for kind in kinds
    )
    return [*notes, f"etcd's keys and values by then: {sizes}."]
