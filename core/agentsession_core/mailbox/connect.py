"""The one place that opens connections to Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import NoScriptError, RedisError

BLOCK_SECONDS = 20.0
# Of one process. Each that follows something holds one while it waits; Redis allows 10,000 clients.
CONNECTIONS = 300
OnError = Callable[[Exception], None]
_LIBRARY = "agentsession-"


def connect(
    url: str, password: SecretStr | None, on_error: OnError = lambda _: None, part: str = ""
) -> Redis:
    """A client whose calls are tried again for about a second; every script is safe to repeat.

    `on_error` is told of every call that failed for good. `part` is which of ours connects: `connected`
    says it to others.
    """
    client = cast(
        "_Client",
        _Client.from_pool(
            BlockingConnectionPool.from_url(
                url,
                # Who finds none free waits: an error would come between a message's way and its note.
                max_connections=CONNECTIONS,
                timeout=BLOCK_SECONDS,
                password=password.get_secret_value() if password else None,
                socket_connect_timeout=2,
                socket_timeout=BLOCK_SECONDS + 10,
                health_check_interval=15,
                retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), retries=4),
                retry_on_error=[ConnectionError],
                # A library's name, not the connection's: a server that refuses it is none the worse.
                driver_info=DriverInfo(name=f"{_LIBRARY}{part}") if part else DriverInfo(),
            )
        ),
    )
    client.on_error = on_error
    return client


async def connected(redis: Redis) -> frozenset[str]:
    """The parts that are connected just now. Raises redis.RedisError."""
    clients: Any = await redis.client_list()
    names = {str(client.get("lib-name", "")) for client in clients}
    return frozenset(name.removeprefix(_LIBRARY) for name in names if name.startswith(_LIBRARY))


class _Client(Redis):
    on_error: OnError

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except NoScriptError:
            # The script is sent and called again.
            raise
        except (RedisError, OSError) as error:
            self.on_error(error)
            raise

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        pipeline = _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.on_error = self.on_error
        return pipeline


class _Pipeline(Pipeline):
    on_error: OnError

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        try:
            return await super().execute(raise_on_error)
        except (RedisError, OSError) as error:
            self.on_error(error)
            raise
