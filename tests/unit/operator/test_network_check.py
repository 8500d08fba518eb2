"""`helm test`'s check: what it concludes, and what it takes for being reached."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from agentsession_operator import network_check
from agentsession_operator.network_check import (
    CONTROL_SECONDS,
    SETTLE_SECONDS,
    ControlError,
    ask_gateway,
    parse,
    parse_target,
    reach,
    try_targets,
    wait_until,
)
from agentsession_operator.network_verdict import REACHED, SEALED, UNKNOWN, Finding, Target, judge
from agentsession_testing.clock import Clock

REDIS = Target("Redis", "r", 6379)
API = Target("the API server", "kubernetes.default.svc", 443)
METADATA = Target("cloud metadata", "169.254.169.254", 80, proven=False)


def findings(*reached: Target) -> list[Finding]:
    return [Finding(item, item in reached, "why") for item in (REDIS, API, METADATA)]


def test_nothing_reached_is_sealed() -> None:
    verdict = judge(findings(), "agents", policies=True)
    assert verdict.code == SEALED
    assert verdict.lines == (
        "sealed   Redis (r:6379): why",
        "sealed   the API server (kubernetes.default.svc:443): why",
        "sealed   cloud metadata (169.254.169.254:80): why",
        "Agents are sealed: the NetworkPolicies are enforced.",
    )


def test_everything_reached_is_a_plugin_that_enforces_nothing() -> None:
    verdict = judge(findings(REDIS, API), "agents", policies=True)
    text = "\n".join(verdict.lines)
    assert verdict.code == REACHED
    assert "REACHED  Redis (r:6379): why" in text
    assert "enforces no NetworkPolicy" in text
    assert "Calico, Cilium" in text
    assert "kubectl -n agents get networkpolicies" in text


def test_policies_that_are_switched_off_are_the_reason() -> None:
    text = "\n".join(judge(findings(REDIS, API), "agents", policies=False).lines)
    assert "networkPolicy.enabled is false" in text
    assert "Calico" not in text


@pytest.mark.parametrize("hole", [REDIS, API, METADATA])
def test_one_hole_is_named_and_the_plugin_is_not_blamed(hole: Target) -> None:
    verdict = judge(findings(hole), "agents", policies=True)
    text = "\n".join(verdict.lines)
    assert verdict.code == REACHED
    assert f"NOT SEALED: agents in agents reach {hole}." in text
    assert "networkPolicy.extraDenied" in text
    assert "Calico" not in text


def test_a_pod_that_is_sealed_late_is_said_to_have_been_open() -> None:
    clock = Clock()
    answers = {REDIS: [(True, "open"), (True, "open"), (False, "no answer")], API: [(False, "no")]}
    found = try_targets([REDIS, API], lambda item: answers[item].pop(0), clock, clock.sleep)
    assert [item.reached for item in found] == [False, False]
    assert [item.open_seconds for item in found] == [0.5, 0.0]
    (late, never, last) = judge(found, "agents", policies=True).lines
    assert late.endswith("no answer, but open for the first 0.5 s")
    assert never.endswith(": no")
    assert last.startswith("Agents are sealed")


def test_what_stays_open_is_reached() -> None:
    clock = Clock()
    found = try_targets([REDIS, API], lambda _: (True, "open"), clock, clock.sleep)
    assert [item.reached for item in found] == [True, True]
    assert clock.now == SETTLE_SECONDS


def test_a_control_is_tried_until_it_works() -> None:
    clock = Clock()

    def attempt() -> None:
        if clock.now < CONTROL_SECONDS / 2:
            raise OSError("not yet")

    wait_until("never", attempt, clock, clock.sleep)
    clock.now = -CONTROL_SECONDS * 2
    with pytest.raises(ControlError, match="never: not yet"):
        wait_until("never", attempt, clock, clock.sleep)


def test_a_listener_is_reached_and_a_closed_port_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert reach(Target("t", "127.0.0.1", port)) == (True, "127.0.0.1 accepts connections")
    assert reach(Target("t", "127.0.0.1", port)) == (False, "Connection refused")


@pytest.fixture
def gateway() -> Iterator[HTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.server.good and self.path == "/readyz" else 503)  # type: ignore[attr-defined]
            self.end_headers()
            self.wfile.write(b'{"failed": {"redis": "ConnectionError"}}')

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_gateway_that_is_not_ready_is_an_error_with_its_words(gateway: HTTPServer) -> None:
    url = f"http://127.0.0.1:{gateway.server_port}"
    gateway.good = True  # type: ignore[attr-defined]
    ask_gateway(url)
    gateway.good = False  # type: ignore[attr-defined]
    with pytest.raises(OSError, match=r"503 .*redis.*ConnectionError"):
        ask_gateway(url)


def arguments(gateway: HTTPServer, *more: str) -> list[str]:
    url = f"http://127.0.0.1:{gateway.server_port}"
    return ["probe", "--namespace=agents", f"--gateway={url}", "--peer=p=127.0.0.1:1", *more]


def test_the_whole_probe(gateway: HTTPServer, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.good = True  # type: ignore[attr-defined]
    sealed = parse(arguments(gateway, "--sealed=s=127.0.0.1:1"))
    assert network_check.probe(sealed) == SEALED
    assert "Agents are sealed" in capsys.readouterr().out


def test_a_cluster_in_which_nothing_works_does_not_look_sealed(
    gateway: HTTPServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_check, "CONTROL_SECONDS", 0.0)
    gateway.good = False  # type: ignore[attr-defined]
    assert network_check.probe(parse(arguments(gateway))) == UNKNOWN
    out = capsys.readouterr().out
    assert "IT CANNOT BE TOLD" in out
    assert "is not ready" in out


def test_a_target_without_a_name_in_dns_is_no_seal(
    gateway: HTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.good = True  # type: ignore[attr-defined]
    unknown = parse(arguments(gateway, "--sealed=s=name.invalid:1"))
    assert network_check.probe(unknown) == UNKNOWN
    assert "does not resolve" in capsys.readouterr().out


def test_targets_are_read_as_the_chart_writes_them() -> None:
    assert parse_target("the API server=kubernetes.default.svc:443") == API
    read = parse(
        ["probe", "--namespace=n", "--gateway=g", "--peer=p=h:1", "--unproven=m=1.2.3.4:80"]
    )
    assert read.unproven == [Target("m", "1.2.3.4", 80, proven=False)]
    assert read.policies
    for wrong in ("Redis", "Redis=r", "=r:1", "Redis=r:x"):
        with pytest.raises(ValueError, match=r"HOST:PORT|invalid literal"):
            parse_target(wrong)
