"""Which fault happens when: pure, and the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """A kind of fault, as the report names it."""

    OPERATOR_KILL = "operator-kill"
    GATEWAY_KILL = "gateway-kill"
    REDIS_KILL = "redis-kill"
    RUNNER_KILL = "runner-kill"
    CLI_KILL = "agent-cli-kill"
    POD_DELETE = "pod-delete"
    EVICTION = "eviction-of-all"
    API_RESTART = "api-server-restart"
    COMPACTION = "etcd-compaction"
    API_429 = "api-429"
    API_500 = "api-500"
    API_LOST_ANSWER = "api-lost-answer"


# What is cheap and hits one session happens often; what stops everybody happens seldom.
WEIGHTS: Final[dict[Fault, int]] = {
    Fault.RUNNER_KILL: 7,
    Fault.CLI_KILL: 7,
    Fault.POD_DELETE: 6,
    Fault.OPERATOR_KILL: 2,
    Fault.GATEWAY_KILL: 2,
    Fault.REDIS_KILL: 2,
    Fault.API_429: 2,
    Fault.API_500: 2,
    Fault.API_LOST_ANSWER: 2,
    Fault.EVICTION: 1,
    Fault.API_RESTART: 1,
    Fault.COMPACTION: 1,
}


@dataclass(frozen=True)
class Planned:
    """A fault to come: seconds after the start, and a number from 0 to 1 that picks its target."""

    at: float
    fault: Fault
    pick: float


def make_schedule(
    seed: int, seconds: float, count: int, kinds: Sequence[Fault], least: int
) -> list[Planned]:
    """`count` faults spread over `seconds`, at least `least` of each kind where `count` allows it.

    The rest is drawn by weight.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible on purpose
    each = min(least, count // len(kinds))
    drawn = [kind for kind in kinds for _ in range(each)]
    weights = [WEIGHTS[kind] for kind in kinds]
    drawn += rng.choices(list(kinds), weights, k=count - len(drawn))
    rng.shuffle(drawn)
    step = seconds / max(count, 1)
    return [
        Planned((number + rng.random()) * step, fault, rng.random())
        for number, fault in enumerate(drawn)
    ]
