"""The stages of a message on its way from the mailbox to its answer. Pure.

All stamps are Redis' time, written by its scripts: clocks of several machines are never compared.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """In this order. What comes to a waiting run passes none before `turn_given`."""

    WAKE = "wake"
    JOB_MADE = "job_made"
    POD_STARTED = "pod_started"
    HELLO = "hello"
    TURN_GIVEN = "turn_given"
    MODEL_REQUEST = "model_request"
    FIRST_TOKEN = "first_token"  # noqa: S105 - of an answer
    RESULT = "result"
    DELIVERED = "delivered"


class Launch(StrEnum):
    """What a message found: no run (COLD, RESUME), one that waited, or another turn before its own."""

    COLD = "cold"
    RESUME = "resume"
    WARM = "warm"
    BEHIND = "behind"


@dataclass(frozen=True)
class Passed:
    """A message has passed a stage, `seconds` after it came."""

    stage: Stage
    launch: str
    seconds: float


def read_passed(text: str) -> tuple[Passed, ...]:
    """What a script says: `{"came": ..., "launch": ..., "<stage>": ...}`, seconds as texts, or nothing.

    A stage that lies before the message's coming was not on its way: its run had it long before.
    """
    if not text:
        return ()
    stamps = json.loads(text)
    came = float(stamps["came"])
    return tuple(
        Passed(stage, stamps["launch"], float(stamps[stage]) - came)
        for stage in Stage
        if stage in stamps and float(stamps[stage]) >= came
    )
