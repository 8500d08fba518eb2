"""Error answers in the shape of the Bot API (https://core.telegram.org/bots/api#making-requests)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_NAMES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
}


@dataclass
class ApiError(Exception):
    """A call that is answered with an error; `retry_after` is in seconds."""

    code: int
    reason: str = ""
    retry_after: int | None = None
    migrate_to_chat_id: int | None = None

    @property
    def description(self) -> str:
        """The sentence that clients see."""
        name = _NAMES.get(self.code, f"Error {self.code}")
        return f"{name}: {self.reason}" if self.reason else name

    def body(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        body: dict[str, Any] = {
            "ok": False,
            "error_code": self.code,
            "description": self.description,
        }
        parameters = {
            "retry_after": self.retry_after,
            "migrate_to_chat_id": self.migrate_to_chat_id,
        }
        given = {name: value for name, value in parameters.items() if value is not None}
        return {**body, "parameters": given} if given else body


def bad_request(reason: str) -> ApiError:
    """Return the refusal of a call whose parameters are wrong."""
    return ApiError(400, reason)


def forbidden(reason: str) -> ApiError:
    """Return the refusal of a call to a chat that the bot has no part in."""
    return ApiError(403, reason)


def flood(retry_after: int) -> ApiError:
    """Return the refusal of a call that comes too soon; `retry_after` in seconds."""
    return ApiError(429, f"retry after {retry_after}", retry_after=retry_after)
