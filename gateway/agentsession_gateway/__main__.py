"""`agentsession-gateway`: puts the process together and runs it."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import httpx
import structlog
from prometheus_client import start_http_server

from agentsession_core import kube, logs, naming
from agentsession_core.cluster import KubernetesCluster
from agentsession_core.identity import TokenIdentity
from agentsession_core.mailbox.connect import connect
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import (
    CONFIG_FILE,
    REDIS_PASSWORD,
    SECRETS_DIRECTORY,
    SecretFiles,
    Settings,
    SettingsError,
    load_settings,
)
from agentsession_gateway.app import create_app
from agentsession_gateway.bridge_files import BridgeFiles, bridge_client
from agentsession_gateway.credentials import KeySource
from agentsession_gateway.deps import Deps
from agentsession_gateway.hub import HintHub
from agentsession_gateway.metrics import Metrics
from agentsession_gateway.model_proxy import SILENCE_SECONDS
from agentsession_gateway.server import build_server
from agentsession_gateway.sessions import ClusterSessionReader
from agentsession_gateway.terminal_access import terminal_reviewer

CONNECT_SECONDS = 10.0
UPSTREAM_CONNECTIONS = 2000
UPSTREAM_IDLE_CONNECTIONS = 50


def upstream_client(silence_seconds: float) -> httpx.AsyncClient:
    """The client for model APIs: no redirects, so many seconds of silence end a call."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(silence_seconds, connect=min(silence_seconds, CONNECT_SECONDS)),
        limits=httpx.Limits(
            max_connections=UPSTREAM_CONNECTIONS,
            max_keepalive_connections=UPSTREAM_IDLE_CONNECTIONS,
        ),
        follow_redirects=False,
    )


def own_address(settings: Settings, environment: Mapping[str, str]) -> str:
    """Where runs reach this replica: its pod's address, else whatever the gateway's URL leads to."""
    address = environment.get("POD_IP", "")
    if not address:
        return settings.gateway.url
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{settings.gateway.port}"


async def serve(
    settings: Settings,
    secrets: SecretFiles,
    host: str,
    silence_seconds: float,
    bridge_token: Path,
) -> None:
    """Runs the gateway until it is told to stop. Raises kube.KubeConfigError."""
    metrics = Metrics(settings.gateway.models.prices)
    metrics_server, metrics_thread = start_http_server(
        settings.gateway.metrics_port, host, registry=metrics.registry
    )
    redis = connect(
        settings.redis.url, secrets.read(REDIS_PASSWORD), metrics.mailboxes.redis_failed, "gateway"
    )
    try:
        async with (
            kube.connect("agentsession-gateway", metrics.api) as api,
            upstream_client(silence_seconds) as upstream,
            bridge_client() as bridge,
            redis,
        ):
            cluster = KubernetesCluster(api)
            store = MailboxStore(redis, metrics.mailboxes)
            hub = HintHub(store, random.random)
            deps = Deps(
                settings=settings,
                identity=TokenIdentity(
                    cluster,
                    naming.AUDIENCE_GATEWAY,
                    settings.session_namespaces,
                    time.monotonic,
                    metrics.reviewed,
                ),
                terminals=terminal_reviewer(
                    cluster, settings.session_namespaces, time.monotonic, metrics.reviewed
                ),
                sessions=ClusterSessionReader(cluster, settings, time.monotonic),
                cluster=cluster,
                store=store,
                hub=hub,
                upstream=upstream,
                bridge=BridgeFiles(bridge, settings.bridge.url, bridge_token),
                keys=KeySource(secrets, cluster, time.monotonic),
                metrics=metrics,
                new_turn_id=lambda: str(uuid.uuid4()),
                clock=time.monotonic,
                now=lambda: datetime.now(UTC),
                address=own_address(settings, os.environ),
            )
            server = build_server(create_app(deps), host, settings.gateway.port, hub.close)
            await server.serve()
    finally:
        metrics_server.shutdown()
        metrics_thread.join()


def main() -> None:
    """Entry point of the console script."""
    parser = argparse.ArgumentParser(prog="agentsession-gateway", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path(CONFIG_FILE), help="YAML file")
    parser.add_argument(
        "--secrets", type=Path, default=Path(SECRETS_DIRECTORY), help="folder of secret files"
    )
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on")  # noqa: S104
    parser.add_argument(
        "--silence-seconds",
        type=float,
        default=SILENCE_SECONDS,
        help="seconds without a byte from the model API after which a call ends (120)",
    )
    parser.add_argument(
        "--bridge-token",
        type=Path,
        default=Path(naming.BRIDGE_TOKEN_FILE),
        help="file with this process's token for the bridge",
    )
    arguments = parser.parse_args()
    try:
        settings = load_settings(arguments.config)
    except SettingsError as error:
        sys.exit(f"agentsession-gateway: {error}")
    logs.configure(settings.log_level, "gateway")
    # uvicorn raises the signal that stopped it once more: a stop that was asked for is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    structlog.get_logger(__name__).info("starting", config=str(arguments.config))
    try:
        asyncio.run(
            serve(
                settings,
                SecretFiles(arguments.secrets),
                arguments.host,
                arguments.silence_seconds,
                arguments.bridge_token,
            )
        )
    except kube.KubeConfigError as error:
        sys.exit(f"agentsession-gateway: {error}")


if __name__ == "__main__":
    main()
