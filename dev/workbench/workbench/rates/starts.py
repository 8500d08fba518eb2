"""How long the command `orchestrator` takes, from its start to its end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from workbench.bench.figures import Figure, Section, Stage, Target, Unit, judge
from workbench.commands import run
from workbench.console import WorkbenchError

COMMAND: Final = str(Path(sys.executable).parent / "orchestrator")
AT_MOST_SECONDS: Final = 0.25
MICROSECONDS: Final = 1_000_000
# What is measured → the words of the command line.
LINES: Final = {
    "orchestrator --version": ("--version",),
    "orchestrator project list --help": ("project", "list", "--help"),
    "orchestrator project list, answered by the API": ("project", "list"),
}


def measure_starts(rounds: int, environment: Mapping[str, str]) -> Section:
    """The figures; `environment` says where the API is and who calls. Raises WorkbenchError."""
    figures = tuple(_figure(title, words, rounds, environment) for title, words in LINES.items())
    bare = Figure(
        "start-python",
        "python -c pass: what Python itself takes",
        Unit.SECONDS,
        tuple(_durations([sys.executable, "-c", "pass"], rounds, environment)),
    )
    return Section(
        "The command's start",
        (*figures, bare),
        ("From the process' start to its end; its files are in the machine's memory already.",),
    )


def _figure(
    title: str, words: Sequence[str], rounds: int, environment: Mapping[str, str]
) -> Figure:
    seconds = tuple(_durations([COMMAND, *words], rounds, environment))
    key = f"start-{'-'.join(word.strip('-') for word in words)}"
    figure = Figure(key, title, Unit.SECONDS, seconds, Target(AT_MOST_SECONDS))
    verdict = judge(figure)
    if verdict is None or verdict.met:
        return figure
    costs = tuple(Stage(name, (cost,)) for name, cost in _imports(words, environment).items())
    return Figure(key, title, Unit.SECONDS, seconds, figure.target, bounds=costs)


def _durations(
    command: Sequence[str], rounds: int, environment: Mapping[str, str]
) -> Iterator[float]:
    run(command, env=environment)
    for _ in range(rounds):
        began = time.perf_counter()
        run(command, env=environment)
        yield time.perf_counter() - began


def _imports(words: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "orchestrator_cli", *words],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise WorkbenchError(f"orchestrator {' '.join(words)} failed", "", done.stderr[-2000:])
    return costs_of(done.stderr)


def costs_of(importtime: str) -> dict[str, float]:
    """Seconds that each top-level package's modules took to load, of what `-X importtime` has printed."""
    costs: dict[str, float] = defaultdict(float)
    for line in importtime.splitlines():
        head, _, rest = line.partition(":")
        own, *_, name = (part.strip() for part in rest.split("|")) if "|" in rest else ("", "")
        if head == "import time" and own.isdigit():
            costs[f"loading {name.partition('.')[0]}"] += int(own) / MICROSECONDS
    return dict(costs)
