"""Errors as callers see them: problem+json (RFC 9457) with stable codes."""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.responses import Response


class ProblemError(Exception):
    """A request is refused. `code` is stable; `detail` names the cause and the next thing to do."""

    def __init__(
        self, status: int, code: str, detail: str, *, retry_after: int | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


def problem_response(problem: ProblemError) -> Response:
    """The problem as an `application/problem+json` answer."""
    headers = {} if problem.retry_after is None else {"retry-after": str(problem.retry_after)}
    body = {
        "type": f"https://agentsession.dev/problems/{problem.code.replace('_', '-')}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
    }
    return Response(
        json.dumps(body), problem.status, headers, media_type="application/problem+json"
    )


def service_unavailable(code: str, detail: str) -> ProblemError:
    """Something this process depends on cannot be used now; the caller tries again."""
    return ProblemError(503, code, detail, retry_after=1)
