"""What goes wrong with a call to the API server, by what can be done about it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, TypeVar

from aiohttp import ClientError

from agentsession_core.kube import ApiError

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
        return await call
    except ApiError as error:
        raise _meaning(error) from error
    except TimeoutError as error:
        raise UnavailableError(0, f"no answer within {CALL_SECONDS:.0f} s") from error
    except (ClientError, OSError) as error:
        # Not all of aiohttp's errors are OSErrors: a kept connection that the server has closed.
        raise UnavailableError(0, f"{type(error).__name__}: {error}") from error


def _meaning(error: ApiError) -> ClusterError:
    status, message = error.status, error.message[:1000]
    if status in _UNAVAILABLE:
        return UnavailableError(status, message, _seconds(error.headers.get("Retry-After")))
    kinds = {403: RefusedError, 404: NotFoundError, 409: ConflictError, 422: RefusedError}
    return kinds.get(status, ClusterError)(status, message)


def _seconds(retry_after: str | None) -> float | None:
    """The API server gives seconds, never a date."""
    try:
        return min(max(float(retry_after or ""), 0.0), RETRY_AFTER_LIMIT)
    except ValueError:
        return None
