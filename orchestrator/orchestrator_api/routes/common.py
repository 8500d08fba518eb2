"""What the routes have in common."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Path, Query
from pydantic import Field

from orchestrator_api.paging import LARGEST

DryRun = Annotated[
    bool,
    Query(description="Say what would come of it, and change nothing."),
]
# A database's BIGINT; beyond it the driver would fail instead of finding nothing.
ProjectId = Annotated[
    int, Path(ge=1, le=LARGEST, description="The project's number.", examples=[42])
]
OfProject = Annotated[int | None, Query(ge=1, le=LARGEST)]
ProjectNumber = Annotated[int, Field(ge=1, le=LARGEST)]

PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable; programs decide by it."},
        "detail": {"type": "string", "description": "The cause and the next thing to do."},
        "request_id": {"type": "string"},
    },
}


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The refusals that a route's description names, beside those that all have."""
    names = {
        401: "Who calls is not known.",
        403: "The caller may not do this, or its person must agree first.",
        404: "There is no such thing among what belongs to the caller's user.",
        409: "It conflicts with what is there.",
        412: "It was changed meanwhile.",
        422: "The request cannot be meant.",
        429: "The caller asks too often; Retry-After says when to try again.",
    }
    content = {"application/problem+json": {"schema": PROBLEM}}
    return {
        code: {"description": names[code], "content": content}
        for code in sorted({401, 403, 422, 429, *codes})
    }
