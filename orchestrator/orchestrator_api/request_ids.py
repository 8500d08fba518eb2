"""A request's id: in its answer, in every line of the log that speaks of it, in the audit log."""

from __future__ import annotations

import re
import uuid
from typing import Final

from starlette.requests import Request

REQUEST_ID_HEADER: Final = "x-request-id"
_REQUEST_ID: Final = re.compile(r"^[A-Za-z0-9._-]{1,64}$")


def request_id_of(request: Request) -> str:
    """The caller's own id for the request if it is fit for logs, else one that is made here."""
    known: str | None = getattr(request.state, "request_id", None)
    if known is None:
        said = request.headers.get(REQUEST_ID_HEADER, "")
        known = said if _REQUEST_ID.match(said) else uuid.uuid4().hex
        request.state.request_id = known
    return known
