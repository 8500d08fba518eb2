"""The open connections of one HTTP server, for endings that ASGI has no word for."""

from __future__ import annotations

import asyncio
import socket
import struct

from uvicorn.protocols.http.h11_impl import H11Protocol

Address = tuple[str, int]
# l_onoff=1, l_linger=0: closing sends a reset instead of an orderly end.
_LINGER_NONE = struct.pack("ii", 1, 0)


class Connections:
    """The open transports by the client's address."""

    def __init__(self) -> None:
        self._transports: dict[Address, asyncio.Transport] = {}

    def opened(self, address: Address, transport: asyncio.Transport) -> None:
        """Remember a connection."""
        self._transports[address] = transport

    def closed(self, address: Address) -> None:
        """Forget a connection."""
        self._transports.pop(address, None)

    def close(self, address: Address) -> bool:
        """End a connection in order, whatever is still to be sent; return whether it was known."""
        transport = self._transports.get(address)
        if transport is None:
            return False
        transport.close()
        return True

    def reset(self, address: Address) -> bool:
        """End a connection with a TCP reset; return whether it was known."""
        transport = self._transports.get(address)
        if transport is None:
            return False
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        transport.abort()
        return True


def tracked_protocol(connections: Connections) -> type[H11Protocol]:
    """Return uvicorn's HTTP protocol, made to report its connections."""

    class TrackedProtocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if self.client is not None:
                connections.opened(self.client, transport)

        def connection_lost(self, exc: Exception | None) -> None:
            if self.client is not None:
                connections.closed(self.client)
            super().connection_lost(exc)

    return TrackedProtocol
