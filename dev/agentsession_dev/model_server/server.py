"""Runs the application under uvicorn: as a process, or in a thread for tests."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources

import uvicorn

from agentsession_dev.model_server.app import create_app
from agentsession_dev.model_server.player import Connections, tracked_protocol
from agentsession_dev.model_server.rules import RuleBook, parse_rules
from agentsession_dev.model_server.service import Effects

# An answer that stalls on purpose must not hold up the end of the process.
SHUTDOWN_SECONDS = 1


def real_effects() -> Effects:
    """Return the system's clock, random ids and real waiting."""
    return Effects(
        now=time.time,
        new_id=lambda prefix: f"{prefix}_{uuid.uuid4().hex}",
        sleep=asyncio.sleep,
    )


def demo_rules() -> RuleBook:
    """Return the rules shipped with the package."""
    data = resources.files("agentsession_dev.model_server").joinpath("rules/demo.json")
    return parse_rules(data.read_bytes())


def build_server(
    *,
    rules: RuleBook,
    api_keys: frozenset[str],
    any_key: bool,
    host: str = "127.0.0.1",
    port: int = 0,
    log_level: str = "warning",
) -> uvicorn.Server:
    """Return a server that is not yet running."""
    connections = Connections()
    app = create_app(
        rules=rules,
        api_keys=api_keys,
        any_key=any_key,
        effects=real_effects(),
        connections=connections,
    )
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=tracked_protocol(connections),
        ws="none",
        lifespan="off",
        log_level=log_level,
        # Connections are found by the peer's address, which these headers would rewrite.
        proxy_headers=False,
        # The service logs model calls itself; a line per readiness probe would bury them.
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return uvicorn.Server(config)


@contextmanager
def serve_in_thread(
    *,
    rules: RuleBook,
    api_keys: frozenset[str] = frozenset(),
    any_key: bool = False,
    host: str = "127.0.0.1",
) -> Iterator[str]:
    """Run a server on a free port while the block runs; yields its base URL."""
    server = build_server(rules=rules, api_keys=api_keys, any_key=any_key, host=host)
    with socket.create_server((host, 0)) as listener:
        # The socket listens already: a client that comes early waits in its backlog.
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http://{host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)
