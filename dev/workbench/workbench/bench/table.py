"""A bench on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from workbench.bench.figures import Figure, Section
from workbench.bench.report import COLUMNS, cells, missed, row

FILE_WIDTH = 120
STYLES = {"met": "green", "missed": "red"}


def make_console() -> Console:
    """The terminal, or a file that is wide enough for the tables."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=FILE_WIDTH, highlight=False)


def show(
    console: Console, machine: str, sections: Sequence[Section], unmeasured: Sequence[str]
) -> None:
    """Prints every section, then what was missed and what could not be measured."""
    for section in sections:
        console.print()
        console.print(section.title, style="bold", markup=False)
        if section.figures:
            console.print(_table(section.figures))
        for note in section.notes:
            console.print(note, style="dim", markup=False)
    console.print()
    for text in missed(sections):
        console.print(f"missed: {text}", style="red", markup=False)
    for text in unmeasured:
        console.print(f"not measured: {text}", style="red", markup=False)
    console.print(machine, style="dim", markup=False)


def _table(figures: Sequence[Figure]) -> Table:
    columns, rows = cells(figures)
    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        # Titles and verdicts read from the left, numbers are compared from the right.
        right = column in COLUMNS[1:6] or column == "value"
        table.add_column(column, justify="right" if right else "left", no_wrap=index > 0)
    for figure, texts in zip(figures, rows, strict=True):
        *first, last = texts
        table.add_row(*first, f"[{STYLES[last]}]{last}[/]" if last in STYLES else last)
        for stage in figure.stages:
            title, *numbers = row(Figure("", f"  {stage.name}", figure.unit, stage.values))
            table.add_row(title, *numbers[:5], "", "", style="dim")
    return table
