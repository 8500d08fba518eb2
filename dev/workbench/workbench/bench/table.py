"""A bench on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from workbench.bench.figures import Figure, Section
from workbench.bench.report import COLUMNS, missed, row

STYLES = {"met": "green", "missed": "red"}


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
    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if 0 < index < len(COLUMNS) - 1 else "left")
    for figure in figures:
        *cells, verdict = row(figure)
        table.add_row(*cells, f"[{STYLES[verdict]}]{verdict}[/]" if verdict else "")
        for stage in figure.stages:
            title, *numbers = row(Figure("", f"  {stage.name}", figure.unit, stage.values))
            table.add_row(title, *numbers[:5], "", "", style="dim")
    return table
