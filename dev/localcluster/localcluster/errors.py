"""Errors that a person is meant to read."""

from __future__ import annotations

from pathlib import Path


class ClusterError(Exception):
    """Something the cluster needs is missing or broken.

    Args:
        cause: what is wrong, in one sentence.
        next_step: what the reader should do about it.
        log: the log file that tells more, if there is one.
    """

    def __init__(self, cause: str, *, next_step: str, log: Path | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.next_step = next_step
        self.log = log


class StoredStateError(ClusterError):
    """What an earlier cluster left on disk cannot be used again."""


def last_lines(path: Path, count: int = 15) -> list[str]:
    """Return the last lines of a log file; an unreadable file has none."""
    tail_bytes = 64 * 1024
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - tail_bytes))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return text.splitlines()[-count:]
