"""Refusals in the shape of the Anthropic API, so that the CLI shows them."""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.responses import Response

from agentsession_core.problems import ProblemError

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}
# The CLI tries most statuses again for minutes; these do not change by themselves.
_FINAL: Final = (400, 401, 403, 404, 413)


def error_body(status: int, message: str) -> dict[str, Any]:
    """The error as a JSON object."""
    kind = _TYPES.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def error_response(problem: ProblemError) -> Response:
    """The problem as an answer of the Anthropic API."""
    headers = {"x-should-retry": "false"} if problem.status in _FINAL else {}
    if problem.retry_after is not None:
        headers["retry-after"] = str(problem.retry_after)
    body = error_body(problem.status, f"agentsession gateway: {problem.detail} ({problem.code})")
    return Response(json.dumps(body), problem.status, headers, media_type="application/json")


def error_event(status: int, message: str) -> bytes:
    """The error as an event in a stream that has begun.

    The empty line before it ends an event that was cut off in its middle.
    """
    body = error_body(status, f"agentsession gateway: {message}")
    return f"\n\nevent: error\ndata: {json.dumps(body)}\n\n".encode()
