"""What a run has shown, as a table, JSON and Markdown. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from rich.console import Group, RenderableType
from rich.table import Table

from chaos.ledger import Figures, Violation

GROUND = "between processes"


@dataclass(frozen=True)
class Report:
    """A run's result. `own_ends` are ends of the product's processes that no fault asked for."""

    seed: int
    seconds: float
    sessions: int
    operators: int
    faults: dict[str, int]
    missed: dict[str, int]
    evicted: int
    api: dict[str, int]
    starts: dict[str, int]
    own_ends: list[str]
    runs: int
    replacements: list[str]
    figures: Figures
    violations: list[Violation]
    evidence: list[str]

    @property
    def holds(self) -> bool:
        """Whether every invariant held."""
        return not self.violations

    def lines(self) -> list[tuple[str, str]]:
        """The figures in the order in which people ask for them."""
        f = self.figures
        outcomes = ", ".join(f"{name} {n}" for name, n in sorted(f.outcomes.items()))
        api = ", ".join(f"{name} {n}" for name, n in sorted(self.api.items())) or "none"
        return [
            ("seed", str(self.seed)),
            ("time", f"{self.seconds:.0f} s"),
            ("sessions", str(self.sessions)),
            ("operators", str(self.operators)),
            ("faults", f"{sum(self.faults.values())} {GROUND}, {sum(self.missed.values())} missed"),
            ("messages accepted", str(f.messages)),
            ("answers and notices", f"{f.answers} and {f.notices} ({outcomes})"),
            ("duplicates", str(f.duplicates)),
            ("losses", str(f.losses)),
            (
                "time to answer",
                f"median {f.median:.1f} s, p95 {f.p95:.1f} s, longest {f.longest:.1f} s",
            ),
            ("runs", str(self.runs)),
            ("second pods of one Job", "; ".join(self.replacements) or "none"),
            ("pods evicted", str(self.evicted)),
            ("API server answered", api),
            ("ended by themselves", "; ".join(self.own_ends) or "none"),
            ("invariants broken", str(len(self.violations))),
        ]


def as_json(report: Report) -> str:
    """Everything, for programs."""
    return json.dumps({**asdict(report), "holds": report.holds}, indent=2, ensure_ascii=False)


def as_markdown(report: Report) -> str:
    """A section of a report page."""
    rows = [f"| {name} | {value} |" for name, value in report.lines()]
    faults = [f"| {name} | {n} |" for name, n in report.faults.items()]
    broken = [
        f"- {v.invariant}: {v.mailbox} {v.message} {' '.join(v.ids)}" for v in report.violations
    ]
    return "\n".join(
        [
            f"## Seed {report.seed}",
            "",
            "| | |",
            "| --- | --- |",
            *rows,
            "",
            f"| fault ({GROUND}) | times |",
            "| --- | --- |",
            *faults,
            "",
            *(broken or ["Every invariant held."]),
            "",
        ]
    )


def as_table(report: Report) -> RenderableType:
    """For people at a terminal."""
    figures_table = Table(title=f"chaos, seed {report.seed}", show_header=False)
    for name, value in report.lines():
        figures_table.add_row(name, value)
    faults = Table("fault", "times", title=GROUND)
    for name, count in report.faults.items():
        faults.add_row(name, str(count))
    return Group(figures_table, faults)
