"""A ground with everything that measures it: what the measurements are given."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis.asyncio import Redis

from agentsession_core import kube
from agentsession_core.mailbox.connect import connect
from agentsession_core.mailbox.store import MailboxStore
from sessionload.api import Api
from sessionload.cost import Etcd, Usage, metric, usage
from sessionload.generator import Generator, Habits, Kind, Sample
from sessionload.ground import GATEWAY, NAMESPACE, OPERATOR, RELEASE, SESSIONS, Ground
from sessionload.plain import PlainPods
from sessionload.records import Journal
from sessionload.tracker import Tracker
from workbench.bench.audit import AuditLog

OPERATOR_USER = f"system:serviceaccount:{NAMESPACE}:{RELEASE}-operator"
GATEWAY_USER = f"system:serviceaccount:{NAMESPACE}:{RELEASE}-gateway"
QUIET_SECONDS = 300.0
LOOK_SECONDS = 1.0
# Below it a process only keeps its connections; the share of a core over one look.
QUIET_SHARE = 0.02


@dataclass
class Scene:
    """Everything of one load. `names` are its sessions, the first one the model of those laid down."""

    ground: Ground
    api: Api
    redis: Redis
    store: MailboxStore
    tracker: Tracker
    plain: PlainPods
    generator: Generator
    audit: AuditLog
    etcd: Etcd
    seed: int
    names: list[str] = field(default_factory=list)
    # Unix seconds: a started operator has looked at those at rest, too, by then.
    looked_at_by: float = 0.0

    def usage(self, part: str) -> Usage:
        """A part's memory and processor. Raises KeyError, OSError."""
        return usage(self.ground.pid(part))

    def queue_depth(self) -> float:
        """Sessions that wait for the operator. Raises URLError."""
        return metric(self.ground.metrics(OPERATOR), "agentsession_operator_queue_depth")

    def asleep(self) -> list[str]:
        """The sessions that have no run, in the order in which they were made."""
        known = self.tracker.seen
        return [name for name in self.names if name in known and known[name].phase == "Suspended"]

    async def quiet(self) -> None:
        """Waits until neither operator nor gateway has anything left to do. Raises TimeoutError."""
        await asyncio.sleep(max(0.0, self.looked_at_by - time.time()))
        async with asyncio.timeout(QUIET_SECONDS):
            calm = 0
            while calm < 3:
                before = [self.usage(part).processor for part in (OPERATOR, GATEWAY)]
                await asyncio.sleep(LOOK_SECONDS)
                after = [self.usage(part).processor for part in (OPERATOR, GATEWAY)]
                busy = max(b - a for a, b in zip(before, after, strict=True)) / LOOK_SECONDS
                calm = calm + 1 if busy <= QUIET_SHARE else 0

    def sample(self, prefix: str, number: int, kind: Kind, pattern: str, intended: float) -> Sample:
        """A new session to be; it is remembered."""
        name = f"{prefix}-{number}"
        self.names.append(name)
        return Sample(name, kind, pattern, intended)

    async def cold(self, prefix: str, number: int, pattern: str, intended: float) -> Sample:
        """A new session's whole first life."""
        sample = self.sample(prefix, number, Kind.COLD, pattern, intended)
        return await self.generator.create(sample, Habits())


@asynccontextmanager
async def scene(ground: Ground, journal: Path, seed: int) -> AsyncIterator[Scene]:
    """Connects to all parts of a ground and follows its sessions."""
    os.environ["KUBECONFIG"] = str(ground.plane.kubeconfig)
    written = Journal(journal)
    async with (
        kube.connect("sessionload") as client,
        connect(ground.redis_url, None) as redis,
        # Without what follows the sessions everything would wait for ever: its end is everybody's.
        asyncio.TaskGroup() as followers,
    ):
        api, store = Api(client), MailboxStore(redis)
        tracker, plain = Tracker(api, SESSIONS), PlainPods(api, SESSIONS)
        following = [followers.create_task(work.run()) for work in (tracker, plain)]
        try:
            yield Scene(
                ground=ground,
                api=api,
                redis=redis,
                store=store,
                tracker=tracker,
                plain=plain,
                generator=Generator(api, SESSIONS, store, tracker, written),
                audit=AuditLog(ground.plane.audit_log),
                etcd=Etcd(ground.plane.settings),
                seed=seed,
            )
        finally:
            for task in following:
                task.cancel()
            written.close()
