"""kopf as the operator uses it: watches, login and process life, and nothing that writes."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import kopf
from kopf._core.engines.peering import Identity
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory

from agentsession_core import naming
from agentsession_core.tasks import run_until_first_ends, until_set
from agentsession_operator.handlers import Handlers
from agentsession_operator.login import login_handler
from agentsession_operator.metrics import WatchMetrics
from agentsession_operator.watches import Begun, Watches

RETRY_SECONDS: Final = 3.0


class _Backoffs:
    """Seconds between attempts, without end: kopf gives up after a list's last one and ends the
    process, and kubelet starts a process that ends again and again ever later."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.5, 1, 2), itertools.repeat(RETRY_SECONDS))


class _NoDiffBase(kopf.DiffBaseStorage):
    """kopf copies and compares every object at every event unless told to remember nothing."""

    def build(
        self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None
    ) -> kopf.BodyEssence:
        # kopf's own begins with a deep copy of the object.
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """There are no change handlers whose progress could be kept."""

    def fetch(self, *, key: str, body: kopf.Body) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence

    def touch(self, **_: Any) -> None:
        return None


class _NoMemories(ResourceMemories):
    """kopf would remember something of every object for handlers that there are none of."""

    async def recall(
        self,
        raw_body: kopf.RawBody,
        *,
        memobase: Any = None,
        noticed_by_listing: bool = False,
        ephemeral: bool = False,
    ) -> ResourceMemory:
        return await super().recall(
            raw_body, memobase=memobase, noticed_by_listing=noticed_by_listing, ephemeral=True
        )


def build_registry(
    handlers: Handlers,
    namespaces: tuple[str, ...],
    heard: Callable[[], None],
    compare: Callable[[], None],
    watch_silence_seconds: float,
    metrics: WatchMetrics,
) -> kopf.OperatorRegistry:
    """Every kind the operator watches. Event handlers only: all others write to the objects.

    `heard` is called when the API server has answered a list, `compare` when a deletion may have been
    missed: once all watches stand, and when one had to begin anew.
    """
    registry = kopf.OperatorRegistry()
    kinds: tuple[tuple[tuple[str, ...], Any], ...] = (
        ((naming.GROUP, naming.VERSION, naming.SESSION_PLURAL), handlers.session),
        ((naming.GROUP, naming.VERSION, naming.TEMPLATE_PLURAL), handlers.template),
        (("batch", "v1", "jobs"), handlers.job),
        (("", "v1", "pods"), handlers.pod),
        (("", "v1", "persistentvolumeclaims"), handlers.claim),
    )
    for resource, handle in kinds:
        kopf.on.event(*resource, id=f"watch-{resource[-1]}", registry=registry)(
            _adapter(resource[-1], handle, metrics)
        )
    watches = Watches(len(kinds) * len(namespaces))

    def on_request(path: str, watch: bool) -> None:
        begun = watches.requested(path, watch=watch)
        if begun is None:
            return
        heard()
        if begun is Begun.ANEW:
            metrics.restarted(path.rpartition("/")[2])
        if begun is not Begun.FIRST:
            compare()

    kopf.on.login(registry=registry)(login_handler(on_request))
    kopf.on.startup(registry=registry)(_configuration(watch_silence_seconds))
    return registry


def _adapter(kind: str, handle: Any, metrics: WatchMetrics) -> Any:
    async def on_event(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        handle(dict(body), deleted=type == "DELETED")
        metrics.brought(kind, type)

    return on_event


def _configuration(watch_silence_seconds: float) -> Callable[..., None]:
    def on_startup(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings, watch_silence_seconds)

    return on_startup


def configure(settings: kopf.OperatorSettings, watch_silence_seconds: float) -> None:
    """Leaves kopf its watches: it writes, posts and remembers nothing."""
    settings.watching.inactivity_timeout = watch_silence_seconds
    # Watching CRDs, namespaces and peerings needs cluster-wide rights and stalls 54 s without them.
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    settings.watching.chunk_size = 500
    # So long kopf keeps an object after its event, whole: at the start that is every object.
    settings.queueing.idle_timeout = 0.1
    ours = f"{naming.LABEL_MANAGED_BY}={naming.MANAGED_BY}"
    for resource in (
        ("batch", "v1", "jobs"),
        ("", "v1", "pods"),
        ("", "v1", "persistentvolumeclaims"),
    ):
        settings.watching.label_selectors[resource] = ours
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = _Backoffs()
    # One line per event and object is not for people.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)


async def run_kopf(
    registry: kopf.OperatorRegistry,
    namespaces: tuple[str, ...],
    learnt: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    """Watches until `stop` is set, from when `learnt` is.

    kopf lists everything once more, and more slowly than it was learnt: nobody waits for that then.
    """
    await run_until_first_ends(until_set(learnt), until_set(stop))
    if stop.is_set():
        return
    await kopf.operator(
        registry=registry,
        namespaces=list(namespaces),
        clusterwide=False,
        standalone=True,
        # kopf would ask for the user's name, and a pod's user has none.
        identity=Identity(naming.OPERATOR_FIELD_MANAGER),
        memories=_NoMemories(),
        stop_flag=stop,
    )
