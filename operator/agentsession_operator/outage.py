"""Errors that are nobody's own: the API server or Redis cannot answer anybody now. Pure."""

from __future__ import annotations

from typing import Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from agentsession_operator.cluster_errors import UnavailableError

FIRST_SECONDS: Final = 0.5
# How late work goes on, at most, once the API server or Redis is back.
LONGEST_SECONDS: Final = 3.0


def pause(error: Exception, times: int) -> float | None:
    """For how many seconds nobody should try, the `times` before included; None for no pause."""
    seconds = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(times, 20))
    if isinstance(error, UnavailableError):
        return max(seconds, error.retry_after or 0.0)
    if isinstance(error, (RedisConnectionError, RedisTimeoutError)):
        return seconds
    return None
