"""Runs the stand-in: as a process, or in a thread for tests."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from agentsession_dev.connections import Connections
from agentsession_dev.serving import http_server, running_in_thread
from agentsession_dev.telegram_server.app import create_app
from agentsession_dev.telegram_server.sending import Effects
from agentsession_dev.telegram_server.service import Settings


def build_server(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    log_level: str = "warning",
    now: Callable[[], float] = time.time,
) -> uvicorn.Server:
    """Return a server that is not yet running. `now`: Unix seconds."""
    connections = Connections()
    app = create_app(settings, Effects(now, lambda: uuid.uuid4().hex), connections)
    return http_server(app, connections, host=host, port=port, log_level=log_level)


@contextmanager
def serve_in_thread(
    settings: Settings, *, host: str = "127.0.0.1", now: Callable[[], float] = time.time
) -> Iterator[str]:
    """Run a server on a free port while the block runs; yields its base URL. `now`: Unix seconds."""
    with running_in_thread(build_server(settings, host=host, now=now), host) as url:
        yield url
