"""`/v1/openapi.json` has what a program needs that was written from it alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from agentsession_testing.canned_orchestrator import ROUTES, check_answer
from orchestrator_api.app import ROUTERS
from orchestrator_api.describing import completed
from orchestrator_api.examples import EXAMPLES

DESCRIBED = completed(
    get_openapi(
        title="orchestrator",
        version="0",
        routes=[route for router in ROUTERS for route in router.routes],
    )
)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DESCRIBED["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def example_of(content: dict[str, Any]) -> Any:
    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return DESCRIBED["components"]["schemas"][name]["examples"][0]


def headers_of(operation: dict[str, Any]) -> set[str]:
    return {one["name"] for one in operation["parameters"] if one["in"] == "header"}


@pytest.mark.parametrize("route", ROUTES, ids=lambda one: f"{sorted(one.methods)} {one.path}")
def test_every_route_has_an_example_of_its_answer_and_its_body(route: APIRoute) -> None:
    (method,) = sorted(route.methods or ())
    operation = DESCRIBED["paths"][route.path][method.lower()]
    if "requestBody" in operation:
        assert route.body_field is not None
        body = example_of(operation["requestBody"]["content"])
        assert route.body_field.validate(body, {}, loc=("body",))[1] == []
    answers = [one for code, one in operation["responses"].items() if code in ("200", "201")]
    assert len(answers) == (route.status_code != 204)
    for answer in answers:
        # As it is checked for the command's tests: all of the fields, and no other.
        check_answer(method, route.path, example_of(answer["content"]))


def test_no_example_is_of_nothing() -> None:
    assert set(EXAMPLES) <= set(DESCRIBED["components"]["schemas"])


def test_who_may_call() -> None:
    (name,) = DESCRIBED["security"][0]
    assert DESCRIBED["components"]["securitySchemes"][name]["scheme"] == "bearer"


def test_headers() -> None:
    for path, method, operation in operations():
        found = headers_of(operation)
        assert "Orchestrator-User" in found
        assert ("Idempotency-Key" in found) is (method != "get"), (path, method)
        has_version = "etag" in operation["responses"].get("200", {}).get("headers", {})
        assert ("If-None-Match" in found) is (has_version and method == "get")
    project = DESCRIBED["paths"]["/v1/projects/{project_id}"]
    assert {method: "If-Match" in headers_of(one) for method, one in project.items()} == {
        "get": False,
        "patch": True,
        "delete": True,
    }
