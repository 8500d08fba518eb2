"""Puts the server together and runs it."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from typing import Final

import uvicorn
from prometheus_client import start_http_server

from agentsession_core import kube, naming
from agentsession_core.cluster import Cluster, KubernetesCluster
from agentsession_core.identity import Identity, TokenIdentity
from agentsession_core.mailbox.connect import connect
from agentsession_core.mailbox.decisions import Decisions
from agentsession_core.mailbox.publishing import Publishing
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import (
    DATABASE_PASSWORD,
    ENCRYPTION_KEY,
    REDIS_PASSWORD,
    SecretFiles,
    Settings,
)
from agentsession_core.tasks import run_until_first_ends
from agentsession_core.templates import Templates
from orchestrator_api import standing
from orchestrator_api.app import create_app
from orchestrator_api.database import Database, database_url
from orchestrator_api.deciding import Decider
from orchestrator_api.deps import Deps
from orchestrator_api.followers import Followers
from orchestrator_api.metrics import Metrics
from orchestrator_api.migrating import migrate
from orchestrator_api.ratelimits import RateLimits
from orchestrator_api.relay import Relay
from orchestrator_api.retention import Retention
from orchestrator_api.sealing import Sealer, SealError
from orchestrator_api.sweeping import Sweeper

SHUTDOWN_SECONDS: Final = 25


class _Server(uvicorn.Server):
    """Sends followers away when it is told to stop: it would wait for the last of them."""

    def __init__(self, config: uvicorn.Config, followers: Followers) -> None:
        super().__init__(config)
        self._followers = followers

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._followers.send_away()
        await super().shutdown(sockets)


class StartError(Exception):
    """The server cannot start; the message says why and what to do."""


def new_id() -> str:
    """Twelve hexadecimal digits."""
    return secrets.token_hex(6)


def now() -> datetime:
    """The time, aware and in UTC."""
    return datetime.now(UTC)


def open_database(settings: Settings, secret_files: SecretFiles) -> Database:
    """The database that the settings name."""
    database = settings.orchestrator.database
    return Database(
        database_url(database, secret_files.read(DATABASE_PASSWORD)), database.connections
    )


def sealer_of(secret_files: SecretFiles) -> Sealer | None:
    """What seals secrets; None where no key is given. Raises StartError."""
    keys = secret_files.read(ENCRYPTION_KEY)
    try:
        return None if keys is None else Sealer(keys)
    except SealError as error:
        raise StartError(f"secret file {ENCRYPTION_KEY}: {error}") from error


async def serve(settings: Settings, secret_files: SecretFiles, host: str, *, cluster: bool) -> None:
    """Runs the API until it is told to stop.

    Raises StartError, kube.KubeConfigError, and SQLAlchemy's errors when SQLite cannot be migrated.
    """
    sealer = sealer_of(secret_files)
    database = open_database(settings, secret_files)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        stack.enter_context(_metrics_served(settings.orchestrator.metrics_port, host, metrics))
        if database.is_sqlite:
            # One process, one file: there is nobody else who could migrate it.
            await migrate(database)
        redis = await stack.enter_async_context(
            connect(
                settings.redis.url,
                secret_files.read(REDIS_PASSWORD),
                metrics.redis_failed,
                "orchestrator",
            )
        )
        api = await _api_server(stack, metrics) if cluster else None
        publishing = Publishing(redis)
        relay = Relay(database, publishing)
        store = MailboxStore(redis)
        deps = Deps(
            database=database,
            identity=_identity(api, settings, metrics) if api else None,
            templates=Templates(api, time.monotonic) if api else None,
            runs=store,
            now=now,
            new_id=new_id,
            committed=relay.committed,
            strict_approvals=settings.orchestrator.approvals == "All",
            sealer=sealer,
            streams=publishing,
            metrics=metrics,
            rate_limits=RateLimits(
                settings.orchestrator.rate_limit, time.monotonic, metrics.rate_limited
            ),
        )
        listener = _listener(host, settings.orchestrator.port)
        config = uvicorn.Config(
            create_app(deps),
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        await run_until_first_ends(
            _Server(config, deps.followers).serve([listener]),
            relay.run(),
            Sweeper(database, publishing, now, relay.committed).run(),
            Retention(
                database,
                publishing,
                settings.orchestrator.retention_days,
                now,
                metrics.forgotten,
            ).run(),
            Decider(database, Decisions(redis), store, now, relay.committed).run(),
            standing.watch(database, now, metrics.stands),
        )


async def _api_server(stack: AsyncExitStack, metrics: Metrics) -> Cluster:
    return KubernetesCluster(
        await stack.enter_async_context(kube.connect("orchestrator-api", metrics.api))
    )


def _identity(api: Cluster, settings: Settings, metrics: Metrics) -> Identity:
    return TokenIdentity(
        api,
        naming.AUDIENCE_ORCHESTRATOR,
        settings.session_namespaces,
        time.monotonic,
        metrics.reviewed,
    )


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise StartError(_cannot_listen(port, error, "port")) from error


def _cannot_listen(port: int, error: OSError, setting: str) -> str:
    why = f"port {port} cannot be listened on: {error.strerror}"
    return f"{why}; set orchestrator.{setting} to another one"


@contextmanager
def _metrics_served(port: int, host: str, metrics: Metrics) -> Iterator[None]:
    try:
        server, thread = start_http_server(port, host, registry=metrics.registry)
    except OSError as error:
        raise StartError(_cannot_listen(port, error, "metricsPort")) from error
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
