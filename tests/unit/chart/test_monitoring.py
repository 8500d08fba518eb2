"""Alerts, dashboard and runbooks name only what is there: metrics, labels, reasons, commands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentsession_core.api import Reason
from agentsession_core.mailbox.stages import Launch, Stage
from agentsession_testing.metric_names import OWN, all_metrics
from kubectl_agents.app import cli

ROOT = Path(__file__).resolve().parents[3]
MONITORING = ROOT / "charts" / "agentsession" / "monitoring"
RUNBOOKS = ROOT / "docs" / "runbooks"
METRICS = all_metrics()
SERIES = {series: metric for metric in METRICS.values() for series in metric.series}
# What Prometheus adds when it scrapes, and a histogram's own.
ADDED = {"namespace", "pod", "job", "le"}
VALUES = {"reason": set(Reason), "stage": {*Stage, "start", "work"}, "launch_type": set(Launch)}
SELECTOR = re.compile(r"(agentsession_\w+|process_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


def alerts() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def pages() -> dict[str, str]:
    return {page.stem: page.read_text() for page in RUNBOOKS.glob("AgentSession*.md")}


def expressions() -> Iterator[tuple[str, str]]:
    """Everything in PromQL, with where it stands."""
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for name, text in pages().items():
        for block in re.findall(r"```promql\n(.*?)```", text, re.S):
            yield name, block
    for row in re.findall(
        r"^\| .*\? \| `([^`]+)` \|$", (ROOT / "docs/metrics.md").read_text(), re.M
    ):
        yield "docs/metrics.md", row


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_what_is_asked_for_exists(where: str, expression: str) -> None:
    found = SELECTOR.findall(expression)
    assert found
    labels: set[str] = set(ADDED)
    for name, selector in found:
        if not name.startswith(OWN):
            continue
        assert name in SERIES, f"{where}: no process has {name}"
        own = {*SERIES[name].labels, *ADDED}
        labels |= own
        for label, _, value in MATCHER.findall(selector):
            assert label in own, f"{where}: {name} has no label {label}"
            if label in VALUES and "." not in value:
                known = {*VALUES[label], "None", "other"}
                assert set(value.split("|")) <= known, f"{where}: {label} is never one of {value}"
    for listed in re.findall(r"by \(([^)]*)\)", expression):
        assert {label.strip() for label in listed.split(",")} <= labels, where


def test_the_dashboard_shows_every_kind_of_metric() -> None:
    """A metric that nobody sees is one that nobody needs."""
    shown = {
        SERIES[name].name
        for where, expression in expressions()
        for name, _ in SELECTOR.findall(expression)
        if name in SERIES
    }
    hidden = {name for name in METRICS if not re.search("_api_request_seconds|hello_seconds", name)}
    assert hidden - shown <= {
        "agentsession_gateway_body_bytes",
        "agentsession_gateway_token_reviews_total",
        "agentsession_gateway_usage_losses_total",
        "agentsession_operator_compared_timestamp_seconds",
    }


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    named = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in alerts()}
    assert named == {name: f"docs/runbooks/{name}.md" for name in named}
    assert set(pages()) == set(named)
    index = (RUNBOOKS / "README.md").read_text()
    assert set(re.findall(r"\]\((AgentSession\w+)\.md\)", index)) == set(named)


@pytest.mark.parametrize(("name", "text"), list(pages().items()), ids=list(pages()))
def test_a_page_says_what_it_means_how_to_see_and_what_to_do(name: str, text: str) -> None:
    assert text.startswith(f"# {name}\n")
    means, see, do = re.split(r"\n## (?:See|Do)\n", text)
    assert len(means.split()) > 10
    assert "```sh\n" in see
    assert do.count("\n- ") >= 2
    for command in re.findall(r"kubectl agents (\w+)", text):
        assert command in cli.commands, f"there is no kubectl agents {command}"
    for reason in re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", do):
        assert reason in {*Reason, *ELSEWHERE}, f"{reason} is no reason of ours"


# Words of Kubernetes, Redis, python-telegram-bot and ours that are no reasons of a condition.
ELSEWHERE = {
    *("ConnectionError", "TimeoutError", "OutOfMemoryError", "AuthenticationError"),
    *("NetworkError", "TimedOut", "RetryAfter", "InvalidToken", "ModelError"),
}
