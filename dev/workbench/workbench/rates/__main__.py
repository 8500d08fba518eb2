"""`python -m workbench.rates`: drives the calls on both databases and prints the tables."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import click

from workbench.console import WorkbenchError, reported
from workbench.rates.filling import Size
from workbench.rates.ground import POSTGRESQL, SQLITE
from workbench.rates.report import wrong
from workbench.rates.run import Bench, Pace

CLONE: Final = Path(__file__).resolve().parents[4]


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0.1),
    default=10.0,
    show_default=True,
    help="For each call, after its warm-up.",
)
@click.option("--warm-up", type=click.FloatRange(0), default=2.0, show_default=True)
@click.option(
    "--callers",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="So many ask at once, each again as soon as it is answered.",
)
@click.option("--starts", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--database",
    "databases",
    multiple=True,
    type=click.Choice([SQLITE, POSTGRESQL]),
    default=[SQLITE, POSTGRESQL],
    show_default=True,
)
def main(
    seconds: float, warm_up: float, callers: int, starts: int, databases: tuple[str, ...]
) -> None:
    """Requests a second, p50 and p99 of the API's commonest calls; how fast its command starts."""
    with reported() as reporter:
        bench = Bench(reporter, Pace(seconds, warm_up, callers, starts), Size())
        for kind in databases:
            asyncio.run(bench.measure(kind))
        bench.show()
        bench.write(CLONE)
        errors = list(wrong(bench.found))
        if errors:
            raise WorkbenchError(
                f"{len(errors)} kind(s) of errors among the answers",
                ".build/bench-api.json has the figures nevertheless",
                "\n".join(errors),
            )


if __name__ == "__main__":
    main()
