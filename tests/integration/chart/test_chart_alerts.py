"""Every alert of the chart, as Prometheus itself evaluates it: when it fires and when it is quiet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agentsession_testing.chart import KEY, Helm
from agentsession_testing.promtool import RULES, promtool, run_promtool

HERE = 'namespace="system"'
MINUTES = 90
# Values a minute; prometheus' own notation: first value, step, count.
NONE, RARE, OFTEN = f"0x{MINUTES}", f"0+0.2x{MINUTES}", f"0+60x{MINUTES}"


@dataclass(frozen=True)
class Case:
    """Series, each with what makes the alert fire and what does not; `labels`: the alert's own."""

    fires: dict[str, str]
    quiet: dict[str, str]
    labels: str = HERE


def buckets(name: str, slow: str, labels: str) -> tuple[dict[str, str], dict[str, str]]:
    """A histogram with all values above the limit `slow`, and one with all far below."""
    below, limit, *above = (
        f'{name}_bucket{{{HERE}{labels},le="{le}"}}' for le in ("0.025", slow, "1800.0", "+Inf")
    )
    rest = dict.fromkeys(above, OFTEN)
    return {below: NONE, limit: NONE, **rest}, {below: OFTEN, limit: OFTEN, **rest}


def counter(name: str, labels: str = "", *, fires: str = OFTEN, quiet: str = NONE) -> Case:
    own = f"{HERE}{labels}"
    series = f"{name}{{{own}}}"
    return Case({series: fires}, {series: quiet})


def gauge(name: str, low: int, high: int, labels: str = "") -> Case:
    series = f"{name}{{{HERE}{labels}}}"
    return Case({series: f"{high}x{MINUTES}"}, {series: f"{low}x{MINUTES}"}, f"{HERE}{labels}")


CALLS = "agentsession_gateway_model_calls_total"
TURNS = "agentsession_turns_total"
STAGE = "agentsession_message_stage_seconds"
TELEGRAM = "agentsession_bridge_telegram_calls_total"
STANDBY = (("works", f"1x{MINUTES}"), ("stands-by", f"0x{MINUTES}"))
ORCHESTRATOR = "agentsession_orchestrator_request_seconds_count"
CASES: dict[str, Case] = {
    "AgentSessionOperatorDown": Case(
        {}, {f"agentsession_operator_places{{{HERE}}}": f"100x{MINUTES}"}, ""
    ),
    "AgentSessionGatewayDown": Case(
        {}, {f"agentsession_gateway_streams{{{HERE}}}": f"0x{MINUTES}"}, ""
    ),
    "AgentSessionRedisErrors": counter("agentsession_redis_errors_total", quiet=RARE),
    "AgentSessionApiServerAway": counter(
        "agentsession_operator_pauses_total", fires=f"0+5x{MINUTES}", quiet=RARE
    ),
    "AgentSessionOperatorBehind": gauge("agentsession_operator_queue_oldest_seconds", 5, 40),
    "AgentSessionReconcileFails": counter(
        "agentsession_operator_reconcile_seconds_count", ',result="failed"', quiet=RARE
    ),
    "AgentSessionDeadlinesLate": Case(
        *buckets("agentsession_operator_deadline_lateness_seconds", "5.0", "")
    ),
    "AgentSessionClocksDiffer": gauge("agentsession_operator_redis_clock_ahead_seconds", 1, -40),
    "AgentSessionWatchesRestart": Case(
        {f'agentsession_operator_watch_restarts_total{{{HERE},resource="pods"}}': OFTEN},
        {f'agentsession_operator_watch_restarts_total{{{HERE},resource="pods"}}': NONE},
        f'{HERE},resource="pods"',
    ),
    "AgentSessionCannotStart": gauge(
        "agentsession_session_reasons", 0, 2, ',reason="ImagePullFailed"'
    ),
    "AgentSessionRunsFail": Case(
        {f'agentsession_runs_failed_total{{{HERE},reason="RunFailed",stage="work"}}': OFTEN},
        {f'agentsession_runs_failed_total{{{HERE},reason="RunFailed",stage="work"}}': NONE},
        f'{HERE},reason="RunFailed"',
    ),
    "AgentSessionQueueLong": gauge("agentsession_operator_queued_sessions", 0, 3, ',kind="chat"'),
    "AgentSessionWarmSlow": Case(*buckets(STAGE, "0.25", ',stage="turn_given",launch_type="warm"')),
    "AgentSessionWakeSlow": Case(
        *buckets(STAGE, "15.0", ',stage="turn_given",launch_type="cold"'),
        f'{HERE},launch_type="cold"',
    ),
    "AgentSessionModelRefusesKey": counter(CALLS, ',outcome="failed",status="401"'),
    "AgentSessionModelCallsFail": Case(
        {
            f'{CALLS}{{{HERE},outcome="failed",status="529"}}': OFTEN,
            f'{CALLS}{{{HERE},outcome="answered",status="200"}}': OFTEN,
        },
        {
            f'{CALLS}{{{HERE},outcome="failed",status="529"}}': RARE,
            f'{CALLS}{{{HERE},outcome="answered",status="200"}}': OFTEN,
        },
    ),
    "AgentSessionTurnsFail": Case(
        {
            f'{TURNS}{{{HERE},source="prompt",outcome="Failed"}}': OFTEN,
            f'{TURNS}{{{HERE},source="prompt",outcome="Succeeded"}}': OFTEN,
        },
        # One of one: no rate that says anything.
        {f'{TURNS}{{{HERE},source="prompt",outcome="Failed"}}': f"0x60 1x{MINUTES - 61}"},
    ),
    "AgentSessionTurnsCutOff": counter(
        "agentsession_turns_cut_off_total",
        ',cause="death"',
        quiet=f"0x60 1x{MINUTES - 61}",
    ),
    "AgentSessionMessagesGivenUp": Case(
        {f'agentsession_dead_lettered_messages_total{{{HERE},reason="RunFailed"}}': RARE},
        {f'agentsession_dead_lettered_messages_total{{{HERE},reason="RunFailed"}}': NONE},
        f'{HERE},reason="RunFailed"',
    ),
    "AgentSessionMessagesLost": counter("agentsession_lost_messages_total", fires=RARE),
    "AgentSessionDeliveryFails": counter("agentsession_bridge_delivery_retries_total", quiet=RARE),
    # Who never had a bridge misses none.
    "AgentSessionBridgeDown": Case(
        {f"agentsession_bridge_leader{{{HERE}}}": f"1x60 0x{MINUTES - 61}"},
        {f'agentsession_bridge_leader{{{HERE},pod="{pod}"}}': values for pod, values in STANDBY},
    ),
    "AgentSessionPollConflict": counter(
        "agentsession_bridge_poll_conflicts_total", fires=f"0+1x{MINUTES}", quiet=RARE
    ),
    "AgentSessionPollsFail": Case(
        {
            f"agentsession_bridge_poll_failures_total{{{HERE}}}": f"0+0.5x{MINUTES}",
            f"agentsession_bridge_poll_stalls_total{{{HERE}}}": f"0+0.5x{MINUTES}",
        },
        {
            f"agentsession_bridge_poll_failures_total{{{HERE}}}": RARE,
            f"agentsession_bridge_poll_stalls_total{{{HERE}}}": RARE,
        },
    ),
    "AgentSessionIntakeSlow": Case(*buckets("agentsession_bridge_intake_seconds", "1.0", "")),
    "AgentSessionDeliverySlow": Case(*buckets("agentsession_bridge_delivery_seconds", "15.0", "")),
    "AgentSessionTelegramRefuses": Case(
        {
            f'{TELEGRAM}{{{HERE},method="sendMessage",outcome="ok"}}': OFTEN,
            f'{TELEGRAM}{{{HERE},method="sendMessage",outcome="flood"}}': OFTEN,
        },
        {
            f'{TELEGRAM}{{{HERE},method="sendMessage",outcome="ok"}}': RARE,
            # A preview that is refused is dropped, and a few are no rate.
            f'{TELEGRAM}{{{HERE},method="sendMessageDraft",outcome="flood"}}': OFTEN,
            f'{TELEGRAM}{{{HERE},method="sendMessage",outcome="refused"}}': RARE,
        },
        f'{HERE},outcome="flood"',
    ),
    "AgentSessionOrchestratorDown": Case(
        {f"agentsession_orchestrator_outbox_entries{{{HERE}}}": f"0x{MINUTES - 30} _x30"},
        {f"agentsession_orchestrator_outbox_entries{{{HERE}}}": f"0x{MINUTES}"},
    ),
    "AgentSessionOrchestratorFails": Case(
        {
            f'{ORCHESTRATOR}{{{HERE},status="503"}}': OFTEN,
            f'{ORCHESTRATOR}{{{HERE},status="200"}}': OFTEN,
        },
        # Refusals are no failures.
        {
            f'{ORCHESTRATOR}{{{HERE},status="503"}}': RARE,
            f'{ORCHESTRATOR}{{{HERE},status="404"}}': OFTEN,
        },
    ),
    "AgentSessionOutboxWaits": gauge("agentsession_orchestrator_outbox_oldest_seconds", 20, 600),
    "AgentSessionLimitsHit": Case(
        {
            f'agentsession_gateway_refusals_total{{{HERE},status="429",code="too_many_calls"}}': (
                f"0+120x{MINUTES}"
            )
        },
        {f'agentsession_gateway_refusals_total{{{HERE},status="404",code="no_such_route"}}': OFTEN},
        f'{HERE},code="too_many_calls"',
    ),
}


def rules() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    return loaded


def promtool_test(
    alert: str, severity: str, labels: str, series: dict[str, str], firing: bool
) -> Any:
    """One test in promtool's own form."""
    own = f'{{alertname="{alert}",alertstate="firing",severity="{severity}"'
    name = f"ALERTS{own}{',' + labels if labels else ''}}}"
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{alert}",alertstate="firing"}}',
                "eval_time": f"{MINUTES - 5}m",
                "exp_samples": [{"labels": name, "value": 1}] if firing else [],
            }
        ],
    }


def test_every_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in rules()}
    assert set(CASES) == set(severities)
    tests = [
        promtool_test(alert, severities[alert], case.labels, series, firing)
        for alert, case in CASES.items()
        for series, firing in ((case.fires, True), (case.quiet, False))
    ]
    file = tmp_path / "alerts.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests})
    )
    program = promtool()
    run_promtool(program, "check", "rules", str(RULES))
    assert "SUCCESS" in run_promtool(program, "test", "rules", str(file))


def test_the_chart_installs_them_where_one_wants_them(helm: Helm) -> None:
    kinds = {item["kind"] for item in helm.objects(KEY)}
    assert kinds.isdisjoint({"PodMonitor", "PrometheusRule"})
    pages = "https://example.com/agentsession/runbooks/"
    monitoring = {
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "rules": {"enabled": True, "labels": {"release": "prometheus"}, "runbookURL": pages},
        "dashboard": {"enabled": True},
    }
    made = {
        (item["kind"], item["metadata"]["name"]): item
        for item in helm.objects(KEY, {"monitoring": monitoring})
    }
    rule = made["PrometheusRule", "agentsession-alerts"]
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    [group] = rule["spec"]["groups"]
    assert [one["expr"] for one in group["rules"]] == [one["expr"] for one in rules()]
    for one in group["rules"]:
        assert one["annotations"]["runbook_url"] == f"{pages}{one['alert']}.md"
    board = made["ConfigMap", "agentsession-dashboard"]
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    source = RULES.with_name("dashboard.json").read_text()
    assert board["data"]["agentsession.json"].strip() == source.strip()
    monitor = made["PodMonitor", "agentsession-metrics"]
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    [wanted] = monitor["spec"]["selector"]["matchExpressions"]
    scraped = {
        item["metadata"]["name"].removeprefix("agentsession-")
        for (kind, _), item in made.items()
        if kind == "Deployment"
        for container in item["spec"]["template"]["spec"]["containers"]
        if endpoint["port"] in {port["name"] for port in container.get("ports", ())}
    }
    # The bridge is not installed without a bot.
    assert scraped == set(wanted["values"]) - {"bridge"}
