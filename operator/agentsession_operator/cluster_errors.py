"""What goes wrong with a call to the API server, by what can be done about it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Mapping
from typing import Final, TypeVar

from aiohttp import ClientError
from kubernetes_asyncio.client.exceptions import ApiException

T = TypeVar("T")
# What the API server, or something in front of it, says when it answers nobody of this process: it
# has too much to do, is away, or does not take its token, which kubelet renews.
_UNAVAILABLE: Final = frozenset({0, 401, 429, 502, 503, 504})
CALL_SECONDS: Final = 30.0
RETRY_AFTER_LIMIT: Final = 60.0


class ClusterError(Exception):
    """The API server refused or failed; `status` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status
        self.message = message


class NotFoundError(ClusterError):
    """The object is not there (any more)."""


class ConflictError(ClusterError):
    """The object exists, has changed or is being deleted."""


class RefusedError(ClusterError):
    """Trying again at once is useless: RBAC, quota, an admission rule, an unfit object."""


class UnavailableError(ClusterError):
    """No call would do better now; `status` is 0 where no answer came.

    `retry_after` is in seconds, as the API server asked for, else None.
    """

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(status, message)
        self.retry_after = retry_after


async def answer_of(call: Awaitable[T]) -> T:
    """The call's answer. Raises ClusterError for whatever goes wrong with it."""
    try:
        async with asyncio.timeout(CALL_SECONDS):
            return await call
    except ApiException as error:
        text = error.body or error.reason or ""
        raise error_of(error.status or 0, text, error.headers or {}) from error
    except TimeoutError as error:
        raise UnavailableError(0, f"no answer within {CALL_SECONDS:.0f} s") from error
    except (ClientError, OSError) as error:
        # Not all of aiohttp's errors are OSErrors: a kept connection that the server has closed.
        raise UnavailableError(0, f"{type(error).__name__}: {error}") from error


def error_of(status: int, body: str | bytes, headers: Mapping[str, str]) -> ClusterError:
    """What an answer of the API server that is no success means."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    try:
        message = json.loads(text).get("message", text)
    except (ValueError, AttributeError):
        message = text
    message = str(message)[:1000]
    if status in _UNAVAILABLE:
        return UnavailableError(status, message, _seconds(headers.get("Retry-After")))
    kinds = {403: RefusedError, 404: NotFoundError, 409: ConflictError, 422: RefusedError}
    return kinds.get(status, ClusterError)(status, message)


def _seconds(retry_after: str | None) -> float | None:
    """The API server gives seconds, never a date."""
    try:
        return min(max(float(retry_after or ""), 0.0), RETRY_AFTER_LIMIT)
    except ValueError:
        return None
