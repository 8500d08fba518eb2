"""Which kind of agent a new person gets, so that two kinds can be compared on live traffic."""

from __future__ import annotations

import hashlib

from redis.asyncio import Redis

from agentsession_core.mailbox.keys import BRIDGE_ROUTES
from agentsession_core.mailbox.parse import read_text
from agentsession_core.settings import Route, RoutingSettings


def decide(user: str, settings: RoutingSettings) -> Route:
    """The kind that the settings say: the same answer each time for the same person. Pure."""
    if not settings.use_cli_agent:
        return Route.OTHER
    if user in settings.cli_agent_users:
        return Route.CLI_AGENT
    return Route.CLI_AGENT if _share(user) < settings.cli_agent_percent else Route.OTHER


def _share(user: str) -> int:
    """Where a person stands between 0 and 99. A larger percentage takes nobody's kind away."""
    digest = hashlib.sha256(f"agentsession-route:{user}".encode()).digest()
    return int.from_bytes(digest[:8]) % 100


class Routes:
    """What was decided stays, also when the settings change. Raises redis.RedisError."""

    def __init__(self, redis: Redis, settings: RoutingSettings) -> None:
        self._redis = redis
        self._settings = settings

    async def route(self, user: str) -> Route:
        """The person's kind, decided now if it never was."""
        await self._redis.hsetnx(BRIDGE_ROUTES, user, decide(user, self._settings))
        known = await self._redis.hget(BRIDGE_ROUTES, user)
        return Route(read_text(known)) if known is not None else decide(user, self._settings)

    def template(self, route: Route) -> str:
        """The AgentSessionTemplate of a kind; "" for the namespace's default."""
        if route is Route.CLI_AGENT:
            return self._settings.cli_agent_template
        return self._settings.other_template
