"""Waiting for a named condition with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from localcluster.errors import ClusterError

POLL_SECONDS = 0.1


def wait_for(
    what: str,
    condition: Callable[[], bool],
    *,
    seconds: float,
    log: Path | None = None,
    still_possible: Callable[[], bool] = lambda: True,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once the condition holds.

    Args:
        what: the condition in words, for the error.
        seconds: the deadline.
        still_possible: false ends the wait early, for instance when the process is gone.

    Raises:
        ClusterError: the deadline passed or the condition became impossible.
    """
    deadline = clock() + seconds
    while not condition():
        if not still_possible():
            raise ClusterError(
                f"{what}: the process ended",
                log=log,
                next_step="read the log's last lines; `make cluster` tries again",
            )
        if clock() >= deadline:
            raise ClusterError(
                f"{what}: not within {seconds:.0f} s",
                log=log,
                next_step="read the log's last lines; `make cluster` tries again, "
                "`make cluster-down` first starts from nothing",
            )
        sleep(POLL_SECONDS)
