"""Whether the gateway is there, as the stream of orders shows it."""

from __future__ import annotations

import asyncio


class GatewayLink:
    """Counts the stream's ends and knows whether one is open."""

    def __init__(self) -> None:
        self.losses = 0
        self._open = asyncio.Event()

    def opened(self) -> None:
        """The gateway answered with a stream."""
        self._open.set()

    def ended(self) -> None:
        """The stream ended, or could not be opened."""
        self.losses += 1
        self._open.clear()

    async def back(self, seconds: float) -> bool:
        """Wait for an open stream; returns whether there is one in time."""
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._open.wait()
        except TimeoutError:
            return False
        return True
