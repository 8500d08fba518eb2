from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from agentsession_operator.cluster_errors import (
    ClusterError,
    ConflictError,
    RefusedError,
    UnavailableError,
)
from agentsession_operator.outage import LONGEST_SECONDS, pause


@pytest.mark.parametrize(
    ("error", "times", "seconds"),
    [
        (UnavailableError(0, "refused"), 0, 0.5),
        (UnavailableError(503, "starting"), 1, 1.0),
        (UnavailableError(503, "starting"), 10_000, LONGEST_SECONDS),
        (UnavailableError(429, "too many", 7.0), 0, 7.0),
        (UnavailableError(429, "too many", 0.0), 2, 2.0),
        (RedisConnectionError("gone"), 0, 0.5),
        (ResponseError("a script's error is the key's own"), 0, None),
        (ClusterError(500, "a webhook's, perhaps, and then of this object only"), 0, None),
        (ConflictError(409, "x"), 0, None),
        (RefusedError(403, "x"), 0, None),
        (ValueError("a defect"), 0, None),
    ],
)
def test_who_waits_for_what(error: Exception, times: int, seconds: float | None) -> None:
    assert pause(error, times) == seconds
