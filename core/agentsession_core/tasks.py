"""Work of a process that runs beside each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any


async def once(work: Awaitable[object]) -> None:
    """Does it, then nothing until cancelled: beside work that does not end, an end would end it all."""
    await work
    await asyncio.Event().wait()


async def until_set(event: asyncio.Event) -> None:
    """Waits for the event."""
    await event.wait()


async def run_until_first_ends(*works: Coroutine[Any, Any, None]) -> None:
    """Runs everything until one ends, ends the others, and raises what the first raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # Also when whoever waits here is ended.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
