"""Running other programs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from workbench.console import WorkbenchError

_SHOWN_LINES = 30


def run(
    command: Sequence[str],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    next_step: str = "",
    show: bool = False,
) -> str:
    """Runs a command to its end and answers its standard output. Raises WorkbenchError.

    With `show` its output goes to the terminal and '' is answered. Secrets go in by `stdin`: an
    argument would be readable by everyone on the machine.
    """
    try:
        done = subprocess.run(
            command,
            input=stdin,
            env={**os.environ, **(env or {})},
            stdout=None if show else subprocess.PIPE,
            stderr=None if show else subprocess.PIPE,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise WorkbenchError(f"{command[0]} is not there", next_step) from error
    if done.returncode != 0:
        shown = ((done.stdout or "") + (done.stderr or "")).strip().splitlines()
        raise WorkbenchError(
            f"{' '.join(command[:4])} … ended with exit code {done.returncode}",
            next_step,
            "\n".join(shown[-_SHOWN_LINES:]),
        )
    return done.stdout or ""
