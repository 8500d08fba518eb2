"""Error answers in the shape of the Anthropic API."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_MESSAGES = {529: "Overloaded", 429: "This request would exceed your rate limit."}


def error_type_of(status: int) -> str:
    """Return the API's error type for an HTTP status."""
    fallback = "invalid_request_error" if status < 500 else "api_error"
    return ERROR_TYPES.get(status, fallback)


def default_message(status: int) -> str:
    """Return a message for a status that comes without one of its own."""
    if status in _MESSAGES:
        return _MESSAGES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Scripted failure {status}"


@dataclass
class ApiError(Exception):
    """A request that is answered with an error; ``retry_after`` is in seconds."""

    status: int
    message: str
    retry_after: float | None = None
    type_override: str | None = None

    @property
    def error_type(self) -> str:
        """Return the API's error type of this error."""
        return self.type_override or error_type_of(self.status)

    def body(self, request_id: str) -> dict[str, object]:
        """Return the JSON body of the answer."""
        return {
            "type": "error",
            "error": {"type": self.error_type, "message": self.message},
            "request_id": request_id,
        }

    def headers(self, request_id: str) -> dict[str, str]:
        """Return the headers of the answer; ``retry-after`` only where it is set."""
        headers = {"request-id": request_id}
        if self.retry_after is not None:
            headers["retry-after"] = f"{self.retry_after:g}"
        return headers
