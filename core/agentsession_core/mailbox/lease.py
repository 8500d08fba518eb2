"""One process of several does the work, as typed calls."""

from __future__ import annotations

from agentsession_core.mailbox.scripted import Scripted


class Leases(Scripted):
    """Leases by their key. Raises redis.RedisError."""

    async def hold(self, key: str, holder: str, seconds: float) -> bool:
        """Takes the lease or renews it; False while another one holds it."""
        answer = await self._run("lease", [key], [holder, int(seconds * 1000)])
        return answer[0] == "held"

    async def give_back(self, key: str, holder: str) -> None:
        """Ends it, if it is this holder's."""
        await self._run("lease", [key], [holder, 0])
