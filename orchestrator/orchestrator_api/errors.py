"""What callers are told when something goes wrong: never a statement, a value or a secret."""

from __future__ import annotations

from typing import Final

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match

from agentsession_core.cluster import ClusterUnavailableError
from agentsession_core.problems import ProblemError, problem_response, service_unavailable
from orchestrator_api.forms import why_invalid
from orchestrator_api.request_ids import request_id_of

_log = structlog.get_logger(__name__)
_UNAVAILABLE: Final = {
    ClusterUnavailableError: ("api_server_unavailable", "the API server cannot be reached"),
    RedisError: ("redis_unavailable", "Redis cannot be reached"),
    OperationalError: ("database_unavailable", "the database cannot be used now"),
    PoolTimeoutError: ("database_unavailable", "the database has no connection free now"),
    ConnectionError: ("database_unavailable", "the database cannot be reached"),
}
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
# PostgreSQL's classes of what is over when it is tried again: connections, deadlocks, resources, locks,
# an operator who stops it.
_PASSING: Final = frozenset({"08", "40", "53", "55", "57"})


def add_error_handlers(app: FastAPI) -> None:
    """Every error becomes a problem with a stable code."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(DBAPIError, _on_database_error)
    app.add_exception_handler(Exception, _on_bug)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    for kind in _UNAVAILABLE:
        app.add_exception_handler(kind, _on_unavailable)


def _refuse(request: Request, problem: ProblemError) -> Response:
    return problem_response(problem, request_id_of(request))


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - for the type checker
    return _refuse(request, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    called = f"{request.method} {request.url.path[:200]}"
    if error.status_code != 405:
        detail = f"there is no {called}; GET {request.app.openapi_url} lists what there is"
        return _refuse(request, ProblemError(error.status_code, "no_such_route", detail))
    allowed = ", ".join(_methods_of(request))
    detail = f"there is no {called}, but {allowed}"
    response = _refuse(request, ProblemError(405, "method_not_allowed", detail))
    response.headers["allow"] = allowed
    return response


def _methods_of(request: Request) -> list[str]:
    # Each method is a route of its own, and the error knows only that of the first.
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


async def _on_disconnect(request: Request, _error: Exception) -> Response:
    # Nobody reads this answer: whoever asked has gone, and nothing was begun.
    return _refuse(request, ProblemError(400, "client_gone", "the request was not sent to its end"))


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return _refuse(request, ProblemError(422, "invalid", why_invalid(error.errors())))


async def _on_unavailable(request: Request, error: Exception) -> Response:
    code, detail = next(said for kind, said in _UNAVAILABLE.items() if isinstance(error, kind))
    # The text of a database's error has the statement's values, secrets among them.
    _log.warning(code, path=request.url.path, error=type(error).__name__)
    return _refuse(request, service_unavailable(code, detail))


async def _on_database_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)  # noqa: S101
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if not error.connection_invalidated and state[:2] not in _PASSING:
        return await _on_bug(request, error)
    _log.warning(
        "database_unavailable",
        path=request.url.path,
        error=type(error).__name__,
        state=state or None,
    )
    return _refuse(
        request, service_unavailable("database_unavailable", "the database cannot do it now")
    )


async def _on_bug(request: Request, error: Exception) -> Response:
    _log.error("failed", path=request.url.path, error=type(error).__name__, exc_info=error)
    return _refuse(
        request,
        ProblemError(500, "failed", "a fault of the orchestrator; its log has the request id"),
    )
