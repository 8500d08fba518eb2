"""Requests to the API server as they are counted."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from agentsession_core.kube import describe
from agentsession_core.metrics import ApiMetrics

OWN = "/apis/agentsession.dev/v1alpha1/namespaces/agents/agentsessions"


@pytest.mark.parametrize(
    ("method", "path", "status", "expected"),
    [
        ("GET", OWN + "?limit=500", 200, ("list", "agentsessions", "ok")),
        ("GET", OWN + "/ada", 404, ("get", "agentsessions", "not_found")),
        ("PATCH", OWN + "/ada/status", 409, ("patch", "agentsessions/status", "conflict")),
        ("POST", "/api/v1/namespaces/agents/events", 201, ("create", "events", "ok")),
        ("DELETE", "/apis/batch/v1/namespaces/agents/jobs/a", 403, ("delete", "jobs", "refused")),
        (
            "POST",
            "/apis/authentication.k8s.io/v1/tokenreviews",
            429,
            ("create", "tokenreviews", "throttled"),
        ),
        ("GET", "/version", 500, ("get", "version", "failed")),
        (
            "GET",
            "/openapi/v3/apis/agentsession.dev/v1alpha1",
            None,
            ("get", "openapi", "unanswered"),
        ),
    ],
)
def test_a_request_in_words(
    method: str, path: str, status: int | None, expected: tuple[str, str, str]
) -> None:
    request = describe(method, "https://10.0.0.1:443" + path, status, 0.1)
    assert (request.verb, request.resource, request.result) == expected


def test_no_name_is_a_label() -> None:
    registry = CollectorRegistry()
    count = ApiMetrics(registry, "operator")
    for name in ("ada", "bob"):
        count(describe("GET", f"https://api{OWN}/{name}", 200, 0.1))
    labels = {"verb": "get", "resource": "agentsessions", "result": "ok"}
    assert registry.get_sample_value("agentsession_operator_api_requests_total", labels) == 2
