"""The orchestrator's HTTP application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Final

import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from agentsession_core.problems import ProblemError, problem_response
from orchestrator_api.deps import Deps
from orchestrator_api.describing import describe
from orchestrator_api.errors import add_error_handlers
from orchestrator_api.health import LIVE, READY, health_router
from orchestrator_api.request_ids import REQUEST_ID_HEADER, request_id_of
from orchestrator_api.routes import (
    approvals,
    audit,
    deployments,
    graphs,
    incidents,
    knowledge,
    logs,
    projects,
    responses,
    secrets,
    servers,
    summaries,
    tasks,
    tokens,
    work,
)

BODY_BYTES: Final = 1024 * 1024
ROUTERS: Final = tuple(
    module.router
    for module in (
        projects,
        secrets,
        deployments,
        servers,
        tasks,
        incidents,
        knowledge,
        logs,
        responses,
        summaries,
        approvals,
        tokens,
        audit,
        graphs,
        work,
    )
)


def create_app(deps: Deps) -> FastAPI:
    """The application over its collaborators."""
    app = FastAPI(
        title="orchestrator",
        version=version("agentsession"),
        description="Projects, deployments, servers and tasks of agents and their people.",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.deps = deps
    app.include_router(health_router(deps))
    for router in ROUTERS:
        app.include_router(router)
    app.middleware("http")(_each_request)
    add_error_handlers(app)
    app.openapi = describe(app)  # type: ignore[method-assign]
    return app


async def _each_request(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    deps: Deps = request.app.state.deps
    began, status = deps.clock(), 500
    try:
        response = await _answer(request, call_next)
        status = response.status_code
    finally:
        # Probes are most of the requests and say nothing about anybody's.
        if request.url.path not in (LIVE, READY):
            route = getattr(request.scope.get("route"), "path", None)
            deps.metrics.answered(request.method, route, status, deps.clock() - began)
    return response


async def _answer(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    request_id = request_id_of(request)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)
    problem = _unfit(request)
    response = problem_response(problem, request_id) if problem else await call_next(request)
    response.headers[REQUEST_ID_HEADER] = request_id
    response.headers["cache-control"] = "no-store"
    return response


def _unfit(request: Request) -> ProblemError | None:
    # Looked at before a byte of the body is read, and before anybody knows who calls.
    if "transfer-encoding" in request.headers:
        return ProblemError(411, "length_required", "send the body with its content-length")
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > BODY_BYTES:
        return ProblemError(413, "body_too_large", f"a body has at most {BODY_BYTES} bytes")
    return None
