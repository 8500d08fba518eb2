"""Real HTTP servers inside a test's event loop."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn


async def until_true(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """As `until`, for anything that is true or not: paths that exist, lists that fill."""
    await until(lambda: bool(condition()), what, seconds)


async def until(
    condition: Callable[[], bool | Awaitable[bool]], what: str, seconds: float = 30
) -> None:
    """Waits until the named condition holds; fails with its name."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                answer = condition()
                if answer if isinstance(answer, bool) else await answer:
                    return
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"after {seconds} s still not: {what}") from None


def process_environment(kubeconfig: Path | None) -> dict[str, str]:
    """The environment of a part that runs as a process: the test's imports, no proxy, this cluster."""
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    environment["KUBECONFIG"] = str(kubeconfig) if kubeconfig else ""
    return environment


def plain_client(**settings: Any) -> httpx.AsyncClient:
    """A client for plain HTTP, directly: no proxy of the environment, no certificates to load."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(trust_env=False, verify=context, **settings)


def free_port() -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def port_of(server: uvicorn.Server) -> int:
    """The port a started server listens on."""
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


@asynccontextmanager
async def serving(server: uvicorn.Server) -> AsyncIterator[str]:
    """Runs the server within the block; yields its URL."""
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started or task.done(), "the server listens")
        yield f"http://127.0.0.1:{port_of(server)}"
    finally:
        server.should_exit = True
        await task


def plain_server(app: Any) -> uvicorn.Server:
    """A server for any ASGI application on a free port."""
    return uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=1)
    )
