"""Claims and Jobs whose session is gone and that the garbage collector has left.

It watches our kind only while the API server names it: while one restarts, a deletion can pass unseen,
and nothing is collected until kube-controller-manager itself is restarted. A claim that stays keeps the
next session of that name from ever starting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from agentsession_operator.cache import Cache
from agentsession_operator.cluster import Cluster
from agentsession_operator.cluster_errors import NotFoundError
from agentsession_operator.model import Key

log = structlog.get_logger(__name__)
# The garbage collector takes a second or two.
PATIENCE_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Orphan:
    """A child whose owner, the session of uid `owner`, is not known any more."""

    kind: str
    key: Key
    name: str
    uid: str
    owner: str


def find_orphans(cache: Cache) -> Iterator[Orphan]:
    """What nobody owns, as far as the watches tell. A claim that is kept has no owner at all."""
    sessions = cache.index()

    def is_gone(key: Key, owner: str) -> bool:
        session = sessions.get(key)
        return session is None or session.uid != owner

    for key, claim in cache.claims.items():
        if claim.owner_uid and not claim.deleting and is_gone(key, claim.owner_uid):
            yield Orphan("claim", key, claim.name, claim.uid, claim.owner_uid)
    for key, job in cache.jobs.items():
        if job.session_uid and not job.deleting and is_gone(key, job.session_uid):
            yield Orphan("job", key, job.name, job.uid, job.session_uid)


class Orphans:
    """Deletes them, after the API server has said that their session is gone."""

    def __init__(self, cache: Cache, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cache = cache
        self._cluster = cluster
        self._clock = clock
        self._since: dict[Orphan, float] = {}

    async def sweep(self) -> None:
        """Looks at the cache, and asks for those alone that have stayed. Raises ClusterError."""
        now = self._clock()
        self._since = {found: self._since.get(found, now) for found in find_orphans(self._cache)}
        for orphan, since in self._since.items():
            if now - since >= PATIENCE_SECONDS and await self._is_gone(orphan):
                await self._delete(orphan)

    async def _is_gone(self, orphan: Orphan) -> bool:
        try:
            session = await self._cluster.read_session(orphan.key)
        except NotFoundError:
            return True
        return bool(session["metadata"]["uid"] != orphan.owner)

    async def _delete(self, orphan: Orphan) -> None:
        namespace = orphan.key.namespace
        if orphan.kind == "claim":
            await self._cluster.delete_claim(namespace, orphan.name, orphan.uid)
        else:
            await self._cluster.delete_job(namespace, orphan.name, orphan.uid)
        log.warning(
            "left behind by the garbage collector, deleted",
            session=orphan.key.name,
            namespace=orphan.key.namespace,
            kind=orphan.kind,
            name=orphan.name,
            owner=orphan.owner,
        )
