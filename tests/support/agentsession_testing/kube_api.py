"""The few paths of an API server that the gateway calls, over HTTP."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from agentsession_testing.fake_cluster import FakeCluster

# What kubeconfigs for it hold: it asks for no credentials.
ACCOUNT_TOKEN = "service-account-token"


@dataclass
class KubeApi:
    """An ASGI application over a FakeCluster. `failing` maps a path to a status."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    failing: dict[str, int] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        self.requests.append((request.method, path, request.headers.get("user-agent", "")))
        if path in self.failing:
            failure = {"kind": "Status", "message": "a-secret-value"}
            return JSONResponse(failure, self.failing[path])
        if path == "/version":
            return JSONResponse({"major": "1", "minor": "35"})
        if path == "/apis/authentication.k8s.io/v1/tokenreviews":
            review = json.loads(await request.body())
            [audience] = review["spec"]["audiences"]
            status = await self.cluster.review(review["spec"]["token"], audience)
            return JSONResponse({**review, "status": status}, 201)
        for (resource, namespace, name), body in self.cluster.objects.items():
            if resource.path(namespace, name) == path:
                return JSONResponse(dict(body))
        return JSONResponse({"kind": "Status", "code": 404, "message": "not found"}, 404)
