"""The reconciler with all its parts."""

from __future__ import annotations

from collections.abc import Callable

from agentsession_core.mailbox.stages import Passed
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import Settings
from agentsession_operator.admission import Admission
from agentsession_operator.cache import Cache
from agentsession_operator.clocks import Clocks
from agentsession_operator.cluster import Cluster
from agentsession_operator.execute import Executor
from agentsession_operator.fair_queue import Share
from agentsession_operator.gather import Gatherer
from agentsession_operator.metrics import SessionMetrics
from agentsession_operator.reconcile import Reconciler
from agentsession_operator.recovery import Recovery
from agentsession_operator.refusals import Refusals
from agentsession_operator.rollout import Rollout
from agentsession_operator.words import Words
from agentsession_operator.world import Limits
from agentsession_operator.writer import StatusWriter


def build_reconciler(
    settings: Settings,
    cache: Cache,
    cluster: Cluster,
    store: MailboxStore,
    clock: Callable[[], float],
    new_id: Callable[[], str],
    admission: Admission | None = None,
    metrics: SessionMetrics | None = None,
    on_delivered: Callable[[Passed], None] = lambda _: None,
) -> Reconciler:
    """A reconciler over these; `clock` in seconds since the epoch. `on_delivered` is told of prompts
    whose answer stands in status."""
    operator = settings.operator
    limits = Limits(
        drain_grace=operator.drain_grace_seconds,
        backoff_base=operator.backoff_base_seconds,
        backoff_limit=operator.backoff_limit_seconds,
        hello_timeout=operator.hello_timeout_seconds,
        placement=operator.placement_seconds,
        message_lifetime=operator.message_lifetime_seconds,
    )
    clocks = Clocks(clock, metrics)
    reconciler = Reconciler(
        cache,
        store,
        Gatherer(settings, limits, cache, cluster, store, Recovery(cache, store), clocks),
        Executor(cluster, store, cache, Words(cluster, store), metrics),
        StatusWriter(cluster, cache, clock, new_id, metrics, on_delivered),
        Refusals(limits),
        Rollout(settings.rollout.max_at_once),
        admission or build_admission(settings, clock),
    )
    if metrics is not None:
        reconciler.on_gone = metrics.gone
    return reconciler


def build_admission(settings: Settings, clock: Callable[[], float]) -> Admission:
    """The queue for runs; `clock` in seconds since the epoch."""
    operator = settings.operator
    share = Share.of_percent(operator.max_concurrent_runs, operator.reserved_task_percent)
    return Admission(share, clock)
