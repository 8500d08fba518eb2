"""What the person at the terminal sees."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from localcluster.errors import ClusterError, last_lines


def elapsed(seconds: float) -> str:
    """Return a duration as people write it: 0.4s, 12s, 3m58s."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    if seconds < 60:
        return f"{seconds:.0f}s"
    return f"{int(seconds) // 60}m{int(seconds) % 60:02d}s"


class Reporter:
    """Prints one line for each step with the time it took."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock

    @contextmanager
    def step(self, doing: str, done: str | None = None) -> Iterator[None]:
        """Time a step: `doing` is shown while it runs, `done` when it has succeeded."""
        started = self._clock()
        with self._console.status(doing) if self._console.is_terminal else _nothing():
            yield
        self._line("[green]✔[/green]", f"{done or doing} ({elapsed(self._clock() - started)})")

    def starting(self, text: str) -> None:
        """Announce a step that takes minutes before it starts."""
        self._line("[cyan]…[/cyan]", text)

    def note(self, text: str) -> None:
        """Print a fact."""
        self._line(" ", text)

    def warn(self, text: str) -> None:
        """Print something that the reader should know and need not act on."""
        self._line("[yellow]![/yellow]", text)

    def error(self, error: ClusterError) -> None:
        """Print cause, the log's last lines and what to do next."""
        self._line("[red]✘[/red]", error.cause)
        if error.log is not None:
            self.note(f"last lines of {error.log}:")
            for line in last_lines(error.log):
                self._console.print(f"    {line}", markup=False, highlight=False)
        self._line("[bold]→[/bold]", error.next_step)

    def _line(self, sign: str, text: str) -> None:
        self._console.print(sign, end=" ", highlight=False)
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
