"""Runs a development server under uvicorn: as a process, or in a thread for tests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from agentsession_dev.connections import Connections, tracked_protocol

# An answer that stalls on purpose must not hold up the end of the process.
SHUTDOWN_SECONDS = 1


def http_server(
    app: FastAPI,
    connections: Connections,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    log_level: str = "warning",
) -> uvicorn.Server:
    """Return a server that is not yet running and reports its connections."""
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
        # The servers log calls themselves; a line per readiness probe would bury them.
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return uvicorn.Server(config)


@contextmanager
def running_in_thread(server: uvicorn.Server, host: str = "127.0.0.1") -> Iterator[str]:
    """Run a server on a free port while the block runs; yields its base URL."""
    with socket.create_server((host, 0)) as listener:
        # The socket listens already: a client that comes early waits in its backlog.
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http://{host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)
