"""A chaos run's report."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from rich.console import Console

from chaos.ledger import Ledger, Violation, figures
from chaos.report import Report, as_json, as_markdown, as_table

REPORT = Report(
    seed=7,
    seconds=61.2,
    sessions=3,
    operators=2,
    faults={"redis-kill": 4, "api-429": 1},
    missed={"runner-kill": 1},
    evicted=5,
    api={"410": 2},
    starts={"operator-0": 3},
    own_ends=[],
    runs=9,
    replacements=["a-r1-y started while a-r2-x ran"],
    figures=figures(Ledger().mailboxes.values(), []),
    violations=[],
    evidence=[],
)
BROKEN = replace(REPORT, violations=[Violation("nothing is lost", "p01", "never answered", ("m",))])


def test_a_report_says_where_its_faults_happened() -> None:
    text = as_markdown(REPORT)
    assert "| redis-kill | 4 |" in text
    assert "5 between processes, 1 missed" in text
    assert "Every invariant held." in text


def test_a_broken_invariant_stands_in_every_form() -> None:
    assert "nothing is lost: p01 never answered m" in as_markdown(BROKEN)
    assert json.loads(as_json(BROKEN))["holds"] is False
    assert json.loads(as_json(REPORT))["holds"] is True


def test_the_table_names_the_seed() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(as_table(REPORT))
    assert "seed 7" in console.export_text()
