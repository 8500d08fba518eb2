"""The calls' figures as a table on a terminal, in Markdown and in JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from workbench.bench.figures import Section
from workbench.bench.report import markdown, table_lines
from workbench.bench.statistics import percentile
from workbench.rates.driving import Driven

COLUMNS = ("call", "requests/s", "p50, ms", "p99, ms", "max, ms", "n", "errors")
MILLISECONDS = 1000


@dataclass(frozen=True)
class Rate:
    """A call on one database. Milliseconds; without a single answer they are 0."""

    call: str
    per_second: float
    p50: float
    p99: float
    longest: float
    n: int
    errors: Mapping[str, int]

    @classmethod
    def of(cls, call: str, driven: Driven) -> Rate:
        """What was driven, in few numbers."""
        took = [seconds * MILLISECONDS for seconds in driven.answered] or [0.0]
        return cls(
            call,
            len(driven.answered) / driven.seconds if driven.seconds else 0.0,
            percentile(took, 0.5),
            percentile(took, 0.99),
            max(took),
            len(driven.answered),
            dict(driven.errors),
        )

    def row(self) -> tuple[str, ...]:
        """Its cells under COLUMNS."""
        times = (f"{value:.1f}" for value in (self.p50, self.p99, self.longest))
        return (
            self.call,
            f"{self.per_second:,.0f}",
            *times,
            f"{self.n:,}",
            str(sum(self.errors.values())),
        )

    def to_json(self) -> dict[str, Any]:
        """As programs read it."""
        return {
            "requestsPerSecond": self.per_second,
            "p50Milliseconds": self.p50,
            "p99Milliseconds": self.p99,
            "maxMilliseconds": self.longest,
            "n": self.n,
            "errors": dict(self.errors),
        }


@dataclass(frozen=True)
class OnDatabase:
    """All calls on one database; `load` is the machine's one minute's before and after them."""

    database: str
    rates: tuple[Rate, ...]
    load: tuple[float, float]

    @property
    def title(self) -> str:
        return f"{self.database}, load {self.load[0]:.1f} before and {self.load[1]:.1f} after"


def terminal_table(found: OnDatabase) -> Table:
    """For a person at a terminal."""
    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    for rate in found.rates:
        table.add_row(*rate.row(), style="red" if rate.errors else "")
    return table


def wrong(found: Sequence[OnDatabase]) -> Iterator[str]:
    """A line for each kind of error."""
    for one in found:
        for rate in one.rates:
            for said, count in rate.errors.items():
                yield f"{one.database}, {rate.call}: {count} times {said}"


def page(
    title: str,
    machine: str,
    found: Sequence[OnDatabase],
    sections: Sequence[Section],
    notes: Sequence[str],
) -> str:
    """The whole, ready to be put into a report."""
    head, _, rest = markdown(title, machine, sections, list(wrong(found))).partition("\n## ")
    lines = [head.rstrip(), ""]
    lines += [text for note in notes for text in (note, "")][:-1]
    for one in found:
        lines += ["", f"## {one.title}", "", *table_lines(COLUMNS, [r.row() for r in one.rates])]
    return "\n".join([*lines, "", f"## {rest}" if rest else ""]).rstrip() + "\n"
