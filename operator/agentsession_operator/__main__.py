"""The operator's process: everything is put together here."""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import sys
import time
import uuid
from pathlib import Path

from prometheus_client import start_http_server
from redis import RedisError

from agentsession_core import kube, logs
from agentsession_core.mailbox.connect import connect
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.metrics import process_registry
from agentsession_core.settings import (
    CONFIG_FILE,
    REDIS_PASSWORD,
    SECRETS_DIRECTORY,
    SecretFiles,
    Settings,
    SettingsError,
    load_settings,
)
from agentsession_core.tasks import run_until_first_ends
from agentsession_operator import outage
from agentsession_operator.app import build_registry, run_kopf
from agentsession_operator.cache import Cache
from agentsession_operator.cluster import Cluster
from agentsession_operator.cluster_errors import ClusterError
from agentsession_operator.comparison import Comparison
from agentsession_operator.epoch import Epoch
from agentsession_operator.factory import build_admission, build_reconciler
from agentsession_operator.ground import Ground
from agentsession_operator.handlers import Handlers
from agentsession_operator.health import serve_health
from agentsession_operator.metrics import Metrics
from agentsession_operator.opening import Opening
from agentsession_operator.orphans import Orphans
from agentsession_operator.queue_board import QueueBoard
from agentsession_operator.recovery import Recovery
from agentsession_operator.service import Service
from agentsession_operator.sweep import Sweep
from agentsession_operator.workqueue import WorkQueue


def main() -> None:
    """Entry point of `agentsession-operator`."""
    parser = argparse.ArgumentParser(
        prog="agentsession-operator", description="Makes the cluster match the AgentSessions."
    )
    parser.add_argument(
        "--config", type=Path, default=Path(CONFIG_FILE), help="the YAML configuration"
    )
    parser.add_argument(
        "--secrets", type=Path, default=Path(SECRETS_DIRECTORY), help="directory of secret files"
    )
    arguments = parser.parse_args()
    try:
        settings = load_settings(arguments.config)
        logs.configure(settings.log_level, "operator")
        _spare_the_collector()
        asyncio.run(serve(settings, SecretFiles(arguments.secrets)))
    except (SettingsError, kube.KubeConfigError, ClusterError) as error:
        sys.exit(f"agentsession-operator: {error}")


def _spare_the_collector() -> None:
    """Collects less often, and never looks through what was imported.

    A list of thousands is nothing but new objects: with Python's own thresholds looking for cycles in
    them takes three quarters of the time in which they are read.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000)


async def serve(settings: Settings, secrets: SecretFiles) -> None:
    """Runs the operator until SIGTERM or SIGINT. Raises ClusterError if it cannot begin."""
    registry = process_registry()
    metrics = Metrics(registry)
    start_http_server(settings.operator.metrics_port, registry=registry)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    async with (
        kube.connect("agentsession-operator", metrics.api) as api,
        connect(
            settings.redis.url,
            secrets.read(REDIS_PASSWORD),
            metrics.mailboxes.redis_failed,
            "operator",
        ) as redis,
    ):
        store, cluster, cache = MailboxStore(redis, metrics.mailboxes), Cluster(api), Cache()
        epoch = Epoch(
            cache, store, Recovery(cache, store), lambda: uuid.uuid4().hex, metrics.count_error
        )
        admission = build_admission(settings, time.time)
        reconcile = build_reconciler(
            settings,
            cache,
            cluster,
            store,
            time.time,
            lambda: uuid.uuid4().hex[:16],
            admission,
            metrics.sessions,
            metrics.mailboxes.stage_passed,
        )
        queue = WorkQueue(
            reconcile,
            time.time,
            metrics.count_error,
            pause_of=outage.pause,
            metrics=metrics.queue,
        )
        reconcile.on_slot_free = queue.add
        reconcile.on_state_lost = epoch.report
        admission.wake = queue.add
        admission.on_place = metrics.sessions.got_place
        metrics.sessions.observe(
            cache,
            lambda: queue.standing,
            lambda: admission.waiting,
            lambda: admission.holding,
            settings.operator.max_concurrent_runs,
        )
        handlers = Handlers(cache, queue)
        comparison = Comparison(
            cache, cluster, queue, handlers, settings.session_namespaces, metrics.watches
        )
        reconcile.on_missing = comparison.ask
        sweep = Sweep(cache, store, queue, comparison, time.time)
        ground = Ground(cluster, settings.session_namespaces, metrics.count_error)
        service = Service(
            settings.operator,
            ground,
            store,
            cache,
            queue,
            sweep,
            Orphans(cache, cluster, time.time),
            comparison,
            Opening(cache, queue, store, time.time),
            epoch,
            metrics,
            admission,
            QueueBoard(admission, cache, store),
        )

        async def unready() -> str | None:
            if ground.problem:
                return ground.problem
            try:
                await store.ping()
            except (RedisError, OSError) as error:
                return f"redis cannot be used: {error}"
            return None

        learnt = asyncio.Event()
        async with serve_health(settings.operator.port, unready):
            registry_of_handlers = build_registry(
                handlers,
                settings.session_namespaces,
                ground.heard,
                comparison.ask,
                settings.operator.watch_silence_seconds,
                metrics.watches,
            )
            await run_until_first_ends(
                run_kopf(registry_of_handlers, settings.session_namespaces, learnt, stop),
                service.run(learnt),
            )


if __name__ == "__main__":
    main()
