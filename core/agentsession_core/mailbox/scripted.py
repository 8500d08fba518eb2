"""The Lua scripts beside this module as calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from agentsession_core.mailbox.observer import Observer
from agentsession_core.mailbox.parse import read_text


class Scripted:
    """A client with every script of the folder `scripts`, by name.

    `observer` is told of every change that a call of this process has made.
    """

    def __init__(self, redis: Redis, observer: Observer | None = None) -> None:
        self._redis = redis
        self._observer = observer or Observer()
        self._scripts: dict[str, AsyncScript] = {
            script.name.removesuffix(".lua"): redis.register_script(
                script.read_text(encoding="utf-8")
            )
            for script in (files("agentsession_core.mailbox") / "scripts").iterdir()
            if script.name.endswith(".lua")
        }

    def observe(self, observer: Observer) -> None:
        """From now on `observer` is told."""
        self._observer = observer

    async def _run(self, name: str, keys: Sequence[str], args: Iterable[object]) -> list[str]:
        answer = await self._scripts[name](keys=keys, args=[str(arg) for arg in args])
        return [read_text(part) for part in answer]
