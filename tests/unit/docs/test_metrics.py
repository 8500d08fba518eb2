"""docs/metrics.md names exactly the metrics that are there; their names follow Prometheus' rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentsession_testing.metric_names import Described, all_metrics

PAGE = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"
METRICS = all_metrics()
# What grows with the number of people, sessions or messages is no label.
UNBOUNDED = {
    *("session", "user", "mailbox", "chat", "run", "message", "turn", "job", "pod"),
    *("name", "namespace", "uid", "id", "path", "error", "detail"),
}


def row(metric: Described) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {', '.join(metric.parts)} | {metric.text} |"


def test_the_page_names_every_metric_and_no_other(request: pytest.FixtureRequest) -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = [row(metric) for metric in METRICS.values()]
    if request.config.getoption("--update-golden"):
        head, _, rest = page.partition("| --- | --- | --- | --- | --- |\n")
        tail = re.sub(r"^(\|.*\n)*", "", rest)
        text = f"{head}| --- | --- | --- | --- | --- |\n" + "\n".join(rows) + f"\n{tail}"
        PAGE.write_text(text, encoding="utf-8")
        return
    written = re.findall(r"^\| `agentsession_.*$", page, re.M)
    assert written == rows, "write the table anew: make golden"


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
def test_names_follow_the_conventions(metric: Described) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
    assert metric.kind in ("counter", "gauge", "histogram")
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not re.search(r"milli|micro|nano|minutes|hours|_ms\b", metric.name)
    if metric.kind == "histogram":
        assert metric.name.endswith("_seconds")
    assert metric.text.endswith(".")
    assert UNBOUNDED.isdisjoint(metric.labels)
