"""Errors as callers see them: problem+json (RFC 9457) with stable codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response


class ProblemError(Exception):
    """A request is refused. `code` is stable; `detail` names the cause and the next thing to do.

    `members` stand in the answer beside the usual ones; none is named like one of those.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        retry_after: int | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self.members = dict(members or {})


def problem_response(problem: ProblemError, request_id: str = "") -> Response:
    """The problem as an `application/problem+json` answer; with the request's id where it has one."""
    headers = {} if problem.retry_after is None else {"retry-after": str(problem.retry_after)}
    body = {
        "type": f"https://agentsession.dev/problems/{problem.code.replace('_', '-')}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        **({"request_id": request_id} if request_id else {}),
        **problem.members,
    }
    return Response(
        json.dumps(body), problem.status, headers, media_type="application/problem+json"
    )


def service_unavailable(code: str, detail: str) -> ProblemError:
    """Something this process depends on cannot be used now; the caller tries again."""
    return ProblemError(503, code, detail, retry_after=1)
