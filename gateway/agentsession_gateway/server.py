"""uvicorn, stopped in the order that loses nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

import uvicorn
from fastapi import FastAPI

# Below a pod's usual 30 s of grace.
SHUTDOWN_SECONDS: Final = 25


class GatewayServer(uvicorn.Server):
    """Ends the endless streams first: uvicorn would wait for them until its time is over."""

    def __init__(self, config: uvicorn.Config, close_streams: Callable[[], None]) -> None:
        super().__init__(config)
        self._close_streams = close_streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes the streams, then lets running calls finish within the grace."""
        self._close_streams()
        await super().shutdown(sockets)


def build_server(
    app: FastAPI, host: str, port: int, close_streams: Callable[[], None]
) -> GatewayServer:
    """A server for the application, not started yet."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        # Above what runners keep idle connections for: else a call meets a closing connection.
        timeout_keep_alive=75,
    )
    return GatewayServer(config, close_streams)
