"""What a request asks for, to the last argument: what an agreement and an idempotency key are bound to."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import TypeAdapter
from starlette.requests import Request

from agentsession_core.problems import ProblemError
from orchestrator_api.rights import Operation
from orchestrator_api.sealing import Sealer

DRY_RUN: Final = "dry_run"
_WORD: Final = TypeAdapter(bool)


async def require_expected(request: Request) -> None:
    """Raises ProblemError 422 for what a change does not look at: one call would have many forms."""
    if request.method == "GET":
        return
    route = request.scope["route"]
    known = {parameter.alias for parameter in route.dependant.query_params}
    if set(request.query_params) - known:
        words = ", ".join(sorted(known)) or "none"
        raise ProblemError(422, "query_unknown", f"this change takes no parameter but {words}")
    if route.body_field is None and await request.body():
        raise ProblemError(422, "body_unexpected", "this call takes no body")


def is_dry_run(request: Request) -> bool:
    """Whether nothing is to be changed: every word that the route's own parameter takes for yes.

    Raises ProblemError 422 for what is neither yes nor no, and for more than one.
    """
    said = request.query_params.getlist(DRY_RUN)
    if not said:
        return False
    try:
        (word,) = said
        return _WORD.validate_python(word)
    except ValueError:
        raise ProblemError(422, "invalid", f"{DRY_RUN} is true or false, once") from None


async def arguments_of(
    request: Request, operation: Operation, sealer: Sealer | None
) -> dict[str, Any]:
    """Path, query and body; of a secret body a fingerprint. Raises ProblemError 503 without a key."""
    asked = request.query_params
    query = {key: asked.getlist(key) for key in sorted(asked.keys()) if key != DRY_RUN}
    body = (await request.body()).decode(errors="replace")
    if operation.secret_body:
        if sealer is None:
            raise ProblemError(
                503, "secrets_unavailable", "the orchestrator has no key to encrypt secrets with"
            )
        return {"path": dict(request.path_params), "query": query, "body": sealer.fingerprint(body)}
    try:
        said: Any = json.loads(body) if body else None
    except ValueError:
        # FastAPI refuses it in a moment; until then it is what it is.
        said = body
    return {"path": dict(request.path_params), "query": query, "body": said}
