"""Sessions as one watch shows them, and waiting for what becomes of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from sessionload.api import Api, Body, sessions_path


class LateError(Exception):
    """Something did not happen within its time; the message says what was seen last."""


@dataclass(frozen=True)
class Seen:
    """A session as last seen. `handled` is the generation of its newest answered prompt.

    `at` is when this was seen, in Unix seconds.
    """

    uid: str
    phase: str
    handled: int
    outcome: str
    at: float
    deleted: bool = False


Holds = Callable[[Seen], bool]


class Tracker:
    """Follows all sessions of a namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._waiters: dict[str, list[tuple[Holds, asyncio.Future[Seen]]]] = {}
        self.seen: dict[str, Seen] = {}

    async def run(self) -> None:
        """Follows until cancelled."""
        async for change in self._api.watch(sessions_path(self._namespace)):
            name = change.body["metadata"]["name"]
            seen = _seen(change.body, change.kind == "DELETED")
            if seen.deleted:
                self.seen.pop(name, None)
            else:
                self.seen[name] = seen
            self._tell(name, seen)

    async def wait(self, name: str, what: str, holds: Holds, seconds: float) -> Seen:
        """Waits until `holds` is true of the session. Raises LateError."""
        known = self.seen.get(name)
        if known is not None and holds(known):
            return known
        future: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()
        entry = (holds, future)
        self._waiters.setdefault(name, []).append(entry)
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            raise LateError(
                f"{name}: {what} not within {seconds:.0f} s; last seen {self.seen.get(name)}"
            ) from None
        finally:
            self._forget(name, entry)

    def _tell(self, name: str, seen: Seen) -> None:
        for holds, future in self._waiters.get(name, ()):
            if not future.done() and holds(seen):
                future.set_result(seen)

    def _forget(self, name: str, entry: tuple[Holds, asyncio.Future[Seen]]) -> None:
        waiting = self._waiters[name]
        waiting.remove(entry)
        if not waiting:
            del self._waiters[name]


def _seen(body: Body, deleted: bool) -> Seen:
    status = body.get("status", {})
    handled = str(status.get("lastHandledMessageID", "")).rpartition(".")[2]
    return Seen(
        uid=body["metadata"]["uid"],
        phase=status.get("phase", ""),
        handled=int(handled) if handled.isdigit() else 0,
        outcome=status.get("lastTurn", {}).get("outcome", ""),
        at=time.time(),
        deleted=deleted,
    )
