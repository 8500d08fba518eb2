"""What a person sees: each step, how long it took, and what to do when it fails."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class WorkbenchError(Exception):
    """A step cannot go on: `cause` in one line, `next_step` for the person, `detail` to read."""

    def __init__(self, cause: str, next_step: str = "", detail: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.next_step = next_step
        self.detail = detail


class Reporter:
    """Writes to standard error, so that a target's result alone is on standard output."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Names a step before it begins and says how long it took once it has ended."""
        start = time.monotonic()
        self._console.print(f"▶ {name}", style="dim")
        try:
            yield
        except BaseException:
            self._console.print(f"✘ {name} ({time.monotonic() - start:.1f} s)", style="red")
            raise
        self._console.print(f"✔ {name:<46} {time.monotonic() - start:6.1f} s")

    def note(self, text: str) -> None:
        """Says something that is no step; lines are left whole: there are commands to copy."""
        self._console.print(text, markup=False, soft_wrap=True)

    def fail(self, error: WorkbenchError) -> None:
        """Says what went wrong and what to do."""
        if error.detail:
            self._console.print(error.detail, style="dim", markup=False)
        self._console.print(f"✘ {error.cause}", style="red", markup=False)
        if error.next_step:
            self._console.print(f"  {error.next_step}", markup=False, soft_wrap=True)


@contextmanager
def reported() -> Iterator[Reporter]:
    """A reporter; a WorkbenchError ends the process with its text and exit code 1."""
    reporter = Reporter()
    try:
        yield reporter
    except WorkbenchError as error:
        reporter.fail(error)
        sys.exit(1)
    except KeyboardInterrupt:
        reporter.note("interrupted; the same command goes on where this one stopped")
        sys.exit(130)
