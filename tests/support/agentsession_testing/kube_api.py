"""The few paths of an API server that the gateway calls, over HTTP."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from agentsession_testing.fake_cluster import FakeCluster


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


def write_kubeconfig(path: Path, url: str) -> Path:
    """A kubeconfig for an API server at `url` that asks for no credentials."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": "service-account-token"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
