"""Running short-lived programs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from localcluster.errors import ClusterError


def run(
    argv: Sequence[str],
    *,
    next_step: str,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    log: Path | None = None,
) -> str:
    """Run a program to its end and return its standard output.

    Args:
        log: a file that receives standard output and error instead.

    Raises:
        ClusterError: the program is missing or ended with an error.
    """
    try:
        with _output(log) as (output, errors):
            result = subprocess.run(
                argv,
                check=False,
                text=True,
                input=stdin,
                stdout=output,
                stderr=errors,
                env=environment,
                cwd=directory,
            )
    except FileNotFoundError as error:
        raise ClusterError(f"{argv[0]} is not installed", next_step=next_step) from error
    if result.returncode != 0:
        detail = (result.stderr or "").strip().splitlines()
        raise ClusterError(
            f"`{' '.join(argv[:4])}` ended with {result.returncode}"
            + (f": {detail[-1]}" if detail else ""),
            next_step=next_step,
            log=log,
        )
    return result.stdout or ""


def succeeds(argv: Sequence[str]) -> bool:
    """Return whether a program ran and ended without an error."""
    try:
        result = subprocess.run(argv, capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return result.returncode == 0


@contextmanager
def _output(log: Path | None) -> Iterator[tuple[int | IO[str], int]]:
    """Give where standard output and error go: to be returned, or both into a log."""
    if log is None:
        yield subprocess.PIPE, subprocess.PIPE
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        yield file, subprocess.STDOUT
