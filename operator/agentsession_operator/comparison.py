"""The cache against the cluster: what no watch has told.

After a cut that lasted longer than the API server's memory kopf lists anew, and what was deleted
meanwhile it never tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from agentsession_core import naming
from agentsession_core.kube import BATCH, CORE, OWN, collection_path
from agentsession_operator.cache import Cache, Shelf
from agentsession_operator.cluster import Cluster
from agentsession_operator.cluster_errors import ClusterError
from agentsession_operator.handlers import Handlers
from agentsession_operator.metrics import WatchMetrics
from agentsession_operator.model import ClaimView, JobView, Key, PodView
from agentsession_operator.workqueue import WorkQueue

log = structlog.get_logger(__name__)
# A cut ends all watches, and each lists anew: one comparison is enough for all.
SETTLE_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 3.0


class Comparison:
    """Lists everything and repairs the cache.

    A list is of the moment when it began, and the watches go on while its pages are read: what they
    tell meanwhile is newer. So nothing is taken from a list that a watch has told of since, and only
    what was known before the list began can be missing in it.
    """

    def __init__(
        self,
        cache: Cache,
        cluster: Cluster,
        queue: WorkQueue,
        handlers: Handlers,
        namespaces: tuple[str, ...],
        metrics: WatchMetrics | None = None,
    ) -> None:
        self._cache = cache
        self._cluster = cluster
        self._queue = queue
        self._handlers = handlers
        self._namespaces = namespaces
        self._metrics = metrics or WatchMetrics(CollectorRegistry())
        self._one_at_a_time = asyncio.Lock()
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Have everything compared soon."""
        self._asked.set()

    async def when_asked(self, on_error: Callable[[Exception], None]) -> None:
        """Compares whenever it is asked to, until cancelled."""
        while True:
            await self._asked.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._asked.clear()
            try:
                await self.run()
            except ClusterError as error:
                log.warning("comparison failed", error=str(error), retry_seconds=RETRY_SECONDS)
                on_error(error)
                self._asked.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def run(self) -> None:
        """Compares everything once. Raises ClusterError."""
        async with self._one_at_a_time:
            for namespace in self._namespaces:
                await self._compare_sessions(namespace)
                await self._compare_templates(namespace)
                await self._compare_children(namespace)
        self._metrics.compared()

    async def _compare_sessions(self, namespace: str) -> None:
        before = {
            key: session.uid
            for key, session in self._cache.index().items()
            if key.namespace == namespace
        }
        present, told = await self._take(
            collection_path(OWN, namespace, naming.SESSION_PLURAL),
            self._handlers.session,
            ours_only=False,
        )
        for key, uid in before.items():
            session = self._cache.index().get(key)
            if session and session.uid == uid and uid not in present and uid not in told:
                log.warning("a deletion was missed", session=key.name, namespace=key.namespace)
                self._metrics.missed(naming.SESSION_PLURAL)
                self._handlers.forget_session(key)

    async def _compare_templates(self, namespace: str) -> None:
        before = {
            key: template.metadata.uid
            for key, template in self._cache.templates().items()
            if key.namespace == namespace
        }
        present, told = await self._take(
            collection_path(OWN, namespace, naming.TEMPLATE_PLURAL),
            self._handlers.template,
            ours_only=False,
        )
        for key, uid in before.items():
            template = self._cache.template(key)
            if template and template.metadata.uid == uid and uid not in present | told:
                self._metrics.missed(naming.TEMPLATE_PLURAL)
                self._handlers.forget_template(key)

    async def _compare_children(self, namespace: str) -> None:
        cache, handlers = self._cache, self._handlers
        for path, shelf, handle in (
            (collection_path(BATCH, namespace, "jobs"), cache.jobs, handlers.job),
            (collection_path(CORE, namespace, "pods"), cache.pods, handlers.pod),
            (
                collection_path(CORE, namespace, "persistentvolumeclaims"),
                cache.claims,
                handlers.claim,
            ),
        ):
            before = _children(shelf, namespace)
            present, told = await self._take(path, handle, ours_only=True)
            for key, name, uid in before & _children(shelf, namespace):
                if uid not in present and uid not in told:
                    self._metrics.missed(path.rpartition("/")[2])
                    shelf.drop(key, name)
                    self._queue.add(key)

    async def _take(
        self, path: str, handle: Callable[..., None], *, ours_only: bool
    ) -> tuple[set[str], set[str]]:
        """Takes in a list; answers the uids in it and those that the watches told of meanwhile.

        Page by page: ten thousand whole objects at once are more than the operator may have.
        """
        present: set[str] = set()
        with self._handlers.listening() as told:
            async for page in self._cluster.list_pages(path, ours_only=ours_only):
                if page.begins_anew:
                    present.clear()
                for body in page.bodies:
                    uid = body["metadata"]["uid"]
                    present.add(uid)
                    if uid not in told:
                        handle(body, deleted=False)
                        # That was the list's word, not a watch's.
                        told.discard(uid)
        return present, told


def _children(
    shelf: Shelf[JobView] | Shelf[PodView] | Shelf[ClaimView], namespace: str
) -> set[tuple[Key, str, str]]:
    """Session, name and uid of every object on the shelf."""
    return {
        (key, view.name, view.uid)
        for key in tuple(shelf.keys())
        if key.namespace == namespace
        for view in shelf.of(key)
    }
