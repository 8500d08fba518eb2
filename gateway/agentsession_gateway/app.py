"""The gateway's HTTP application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from fastapi import FastAPI
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agentsession_core.cluster import ClusterUnavailableError
from agentsession_core.problems import ProblemError, problem_response, service_unavailable
from agentsession_gateway.counted import CountedRequests
from agentsession_gateway.deps import Deps
from agentsession_gateway.exports import ExportDesk
from agentsession_gateway.files_api import FilesApi
from agentsession_gateway.health import HealthApi
from agentsession_gateway.limits import BODIES_BYTES, SESSION_BODIES_BYTES, BodyBudget
from agentsession_gateway.model_proxy import PREFIX, ModelProxy
from agentsession_gateway.runner_api import RunnerApi
from agentsession_gateway.terminal_api import TerminalApi

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
_log = structlog.get_logger(__name__)


def create_app(deps: Deps) -> FastAPI:
    """The application over its collaborators; it follows the hints while it runs."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(deps.hub.follow())
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    # Agents reach this server: it describes itself in the docs, not to them.
    app = FastAPI(
        title="agentsession gateway",
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
    )
    budget = BodyBudget(BODIES_BYTES, SESSION_BODIES_BYTES)
    exports = ExportDesk(deps.store, deps.address)
    runner, proxy = RunnerApi(deps, budget, exports), ModelProxy(deps, budget)
    health = HealthApi(deps)
    app.add_api_route("/healthz", health.live, methods=["GET"])
    app.add_api_route("/readyz", health.ready, methods=["GET"])
    app.add_api_route("/v1/runner/hello", runner.hello, methods=["POST"])
    app.add_api_route("/v1/runner/stream", runner.stream, methods=["GET"])
    app.add_api_route("/v1/runner/turns/{turn}/events", runner.events, methods=["POST"])
    app.add_api_route("/v1/runner/turns/{turn}/result", runner.result, methods=["POST"])
    files = FilesApi(deps, budget, deps.bridge)
    of_turn = "/v1/runner/turns/{turn}/files"
    app.add_api_route(of_turn, files.begin, methods=["POST"])
    app.add_api_route(of_turn + "/{file}", files.download, methods=["GET"])
    app.add_api_route(of_turn + "/{number}/{upload}", files.upload, methods=["PUT"])
    app.add_api_route("/v1/runner/exports/{export}", runner.export, methods=["POST"])
    app.add_api_route("/v1/runner/bye", runner.bye, methods=["POST"])
    terminals = TerminalApi(deps, budget, exports)
    terminals.add_to(app)
    app.add_api_route(PREFIX + "/{path:path}", proxy.handle, methods=_METHODS)
    _add_error_handlers(app, deps)
    app.add_middleware(CountedRequests, metrics=deps.metrics, clock=deps.clock)
    deps.hub.on_cut_off = deps.metrics.hints_cut_off
    deps.metrics.observe(
        {
            "streams": lambda: deps.hub.streams,
            "terminals": lambda: terminals.open,
            "exports": lambda: exports.open_ones,
            "body_bytes": lambda: budget.used,
        }
    )
    return app


def _add_error_handlers(app: FastAPI, deps: Deps) -> None:
    def refuse(problem: ProblemError) -> Response:
        deps.metrics.refused(problem)
        return problem_response(problem)

    @app.exception_handler(ProblemError)
    async def on_problem(_request: Request, error: ProblemError) -> Response:
        return refuse(error)

    @app.exception_handler(HTTPException)
    async def on_http_exception(_request: Request, error: HTTPException) -> Response:
        return refuse(ProblemError(error.status_code, "no_such_route", str(error.detail)))

    @app.exception_handler(ClusterUnavailableError)
    async def on_cluster_unavailable(request: Request, error: ClusterUnavailableError) -> Response:
        _log.warning("api_server_unavailable", path=request.url.path, error=str(error))
        return refuse(
            service_unavailable("api_server_unavailable", "the API server cannot be reached")
        )

    @app.exception_handler(RedisError)
    async def on_redis_error(request: Request, error: RedisError) -> Response:
        _log.warning("redis_unavailable", path=request.url.path, error=type(error).__name__)
        return refuse(service_unavailable("redis_unavailable", "Redis cannot be reached"))
