"""What watches and hints have missed: a look at the backlog often, at everything seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from redis import RedisError

from agentsession_core import naming
from agentsession_core.mailbox.store import MailboxStore
from agentsession_operator.cache import Cache, Shelf
from agentsession_operator.cluster import Cluster, ClusterError
from agentsession_operator.handlers import Handlers
from agentsession_operator.model import Body, Key, session_key
from agentsession_operator.workqueue import WorkQueue

log = structlog.get_logger(__name__)
ORPHAN_SECONDS = 60.0


class Sweep:
    """Repairs of the cache and of Redis."""

    def __init__(
        self,
        cache: Cache,
        cluster: Cluster,
        store: MailboxStore,
        queue: WorkQueue,
        handlers: Handlers,
        namespaces: tuple[str, ...],
        clock: Callable[[], float],
    ) -> None:
        self._cache = cache
        self._cluster = cluster
        self._store = store
        self._queue = queue
        self._handlers = handlers
        self._namespaces = namespaces
        self._clock = clock
        self._orphans: dict[str, float] = {}

    async def every(
        self,
        seconds: float,
        work: Callable[[], Awaitable[None]],
        on_error: Callable[[Exception], None],
    ) -> None:
        """Calls `work` for ever; an error is logged and counted, and the next call comes anyway."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except (RedisError, ClusterError, OSError) as error:
                log.warning("sweep failed", error=str(error))
                on_error(error)

    async def backlog(self) -> None:
        """Has every session with waiting messages looked at; forgets orphaned mailboxes."""
        for mailbox in await self._store.backlog():
            for key in self._cache.sessions_of_mailbox(mailbox):
                self._queue.add(key)
        await self._purge_orphans()

    async def _purge_orphans(self) -> None:
        """A deletion that no watch reported leaves a mailbox without a session."""
        now = self._clock()
        orphaned = {
            mailbox
            for mailbox in await self._store.mailboxes()
            if not self._cache.sessions_of_mailbox(mailbox)
        }
        self._orphans = {mailbox: self._orphans.get(mailbox, now) for mailbox in orphaned}
        for mailbox, since in list(self._orphans.items()):
            if now - since >= ORPHAN_SECONDS:
                state = await self._store.state(mailbox)
                await self._store.purge(mailbox, session_uid=state.session_uid or "")
                log.info("orphaned mailbox purged")
                del self._orphans[mailbox]

    async def anti_entropy(self) -> None:
        """Compares the cache with the cluster: after a cut kopf does not report deletions."""
        for namespace in self._namespaces:
            sessions = f"/apis/{naming.API_VERSION}/namespaces/{namespace}/{naming.SESSION_PLURAL}"
            listed = await self._cluster.list_objects(sessions, ours_only=False)
            for body in listed:
                self._handlers.session(body, deleted=False)
            present = {Key(namespace, body["metadata"]["name"]) for body in listed}
            for key in self._cache.sessions():
                if key.namespace == namespace and key not in present:
                    self._handlers.forget_session(key)
            await self._compare_children(namespace)

    async def _compare_children(self, namespace: str) -> None:
        kinds: tuple[tuple[str, Shelf[object], Callable[..., None]], ...] = (
            (f"/apis/batch/v1/namespaces/{namespace}/jobs", self._cache.jobs, self._handlers.job),  # type: ignore[assignment]
            (f"/api/v1/namespaces/{namespace}/pods", self._cache.pods, self._handlers.pod),
            (
                f"/api/v1/namespaces/{namespace}/persistentvolumeclaims",
                self._cache.claims,
                self._handlers.claim,
            ),
        )
        for path, shelf, handle in kinds:
            bodies = await self._cluster.list_objects(path, ours_only=True)
            for body in bodies:
                handle(body, deleted=False)
            self._drop_ghosts(namespace, shelf, bodies)

    def _drop_ghosts(self, namespace: str, shelf: Shelf[object], bodies: list[Body]) -> None:
        present = {(session_key(body), body["metadata"]["name"]) for body in bodies}
        for key in list(shelf.keys()):
            if key.namespace != namespace:
                continue
            for name in shelf.names(key):
                if (key, name) not in present:
                    shelf.drop(key, name)
                    self._queue.add(key)
