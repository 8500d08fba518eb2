"""An orchestrator's API that answers what it was told to: no process, no network.

What it is told is held to the real API: a path that is no route, an answer that is none of that route's,
or a request that the route would refuse fails the test.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi.routing import APIRoute
from starlette.routing import Match

from orchestrator_api.app import ROUTERS

ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
Answers = Mapping[str, Any]


def route_of(method: str, path: str) -> APIRoute:
    """The route of the real API."""
    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
    for route in ROUTES:
        if route.matches(scope)[0] is Match.FULL:
            return route
    raise AssertionError(f"the API has no {method} {path}")


@dataclass
class CannedApi:
    """`answers`: "METHOD /path" → JSON, None for an answer without one. `refusal` answers everything."""

    answers: Answers
    refusal: Callable[[httpx.Request], httpx.Response] | None = None
    requests: list[str] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answers a request."""
        path = request.url.path
        query = request.url.query.decode()
        body = request.content.decode()
        said = f"{request.method} {path}{'?' + query if query else ''}{' ' + body if body else ''}"
        self.requests.append(said)
        if self.refusal is not None:
            return self.refusal(request)
        if path == "/v1/openapi.json":
            return httpx.Response(200, json={"info": {"version": "9.9.9"}})
        check_request(route_of(request.method, path), request)
        name = f"{request.method} {path}"
        assert name in self.answers, f"{name} was not expected"
        answer = self.answers[name]
        if answer is None:
            return httpx.Response(204)
        check_answer(request.method, path, answer)
        return httpx.Response(200, json=answer)


def check_answer(method: str, path: str, answer: Any) -> None:
    """Fails where the real route could not answer that."""
    model = route_of(method, path).response_model
    assert model is not None, f"{method} {path} answers nothing"
    seen = model.model_validate(answer).model_dump(mode="json")
    assert _names(answer) == _names(seen), f"{method} {path} answers other fields"


def _names(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _names(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_names(part) for part in value]
    return None


def check_request(route: APIRoute, request: httpx.Request) -> None:
    """Fails where the real route would refuse that."""
    known = {one.alias for one in route.dependant.query_params}
    assert set(request.url.params) <= known, f"{route.path} takes no {request.url.params}"
    if route.body_field is not None:
        _, errors = route.body_field.validate(json.loads(request.content), {}, loc=("body",))
        assert not errors, errors
    else:
        assert not request.content, f"{route.path} takes no body"
