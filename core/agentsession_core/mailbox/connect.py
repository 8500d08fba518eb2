"""The one place that opens connections to Redis."""

from __future__ import annotations

from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff

BLOCK_SECONDS = 20.0


def connect(url: str, password: SecretStr | None) -> Redis:
    """A client whose calls are tried again for about a second; every script is safe to repeat."""
    return Redis.from_url(
        url,
        password=password.get_secret_value() if password else None,
        socket_connect_timeout=2,
        socket_timeout=BLOCK_SECONDS + 10,
        health_check_interval=15,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), retries=4),
        retry_on_error=[ConnectionError],
    )
