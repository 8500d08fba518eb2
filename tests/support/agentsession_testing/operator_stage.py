"""The operator's parts over a real Valkey, with an API server that the test plays."""

from __future__ import annotations

import copy
import time
from datetime import UTC, datetime
from typing import Any

from agentsession_core.api import TurnOutcome
from agentsession_core.mailbox.answers import RunAnswer
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.stages import Passed
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import RolloutSettings, Settings
from agentsession_operator.cache import Cache
from agentsession_operator.cluster_errors import (
    ClusterError,
    ConflictError,
    NotFoundError,
    RefusedError,
)
from agentsession_operator.factory import build_reconciler
from agentsession_operator.handlers import Handlers
from agentsession_operator.model import Key
from agentsession_operator.workqueue import WorkQueue
from agentsession_testing.operator_worlds import IMAGES

KEY = Key("agents", "anna")
UID = "uid-1"


class PlayedCluster:
    """An API server's memory: stores what is made, refuses what it would refuse."""

    def __init__(self) -> None:
        self.session: dict[str, Any] | None = None
        self.made: list[str] = []
        self.statuses: list[dict[str, Any]] = []
        self.events: list[str] = []
        self.deleted: list[str] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.complaints: list[dict[str, Any]] = []
        self.refusal: RefusedError | None = None
        self.answers_lost = 0

    def _made(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.refusal is not None:
            raise self.refusal
        body = copy.deepcopy(body)
        body["metadata"]["uid"] = f"{body['kind']}-{body['metadata']['name']}"
        self.made.append(f"{body['kind']}/{body['metadata']['name']}")
        return body

    async def create_claim(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._made(body)

    async def create_job(self, body: dict[str, Any]) -> dict[str, Any]:
        name = body["metadata"]["name"]
        if name in self.jobs:
            return self.jobs[name]
        self.jobs[name] = self._made(body)
        if self.answers_lost:
            self.answers_lost -= 1
            raise ClusterError(504, "the answer was lost")
        return self.jobs[name]

    async def list_children(
        self, namespace: str, session_uid: str
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        return list(self.jobs.values()), []

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        self.deleted.append(name)

    async def delete_session(self, key: Key, uid: str, resource_version: str) -> None:
        if self.session is None:
            raise NotFoundError(404, "gone")
        if self.session["metadata"]["resourceVersion"] != resource_version:
            raise ConflictError(409, "changed")
        self.deleted.append(key.name)
        self.session = None

    async def patch_status(
        self, key: Key, resource_version: str, patch: dict[str, Any]
    ) -> dict[str, Any]:
        if self.session is None:
            raise NotFoundError(404, "gone")
        if self.session["metadata"]["resourceVersion"] != resource_version:
            raise ConflictError(409, "changed")
        self.statuses.append(patch)
        merge(self.session.setdefault("status", {}), patch)
        self.bump()
        return copy.deepcopy(self.session)

    async def read_session(self, key: Key) -> dict[str, Any]:
        if self.session is None:
            raise NotFoundError(404, "gone")
        return copy.deepcopy(self.session)

    async def events_about(self, namespace: str, uid: str) -> list[dict[str, Any]]:
        return self.complaints

    async def create_event(self, key: Key, uid: str, name: str, event: Any, at: datetime) -> None:
        self.events.append(event.reason)

    def bump(self) -> None:
        assert self.session is not None
        version = int(self.session["metadata"]["resourceVersion"]) + 1
        self.session["metadata"]["resourceVersion"] = str(version)


def merge(target: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


class Stage:
    """One session, the operator's parts, and a clock that only the test moves."""

    def __init__(self, store: MailboxStore, cluster: PlayedCluster | None = None) -> None:
        """`cluster`: another operator's, for two of them."""
        self.store = store
        # Ahead of Redis' clock from the first look on, as one that is moved by hand must be.
        self.now = time.time()
        self.cluster = cluster or PlayedCluster()
        self.delivered: list[Passed] = []
        self.cache = Cache()
        settings = Settings(
            session_namespaces=("agents",),
            agent_images=IMAGES,
            rollout=RolloutSettings(max_at_once=1),
        )
        self.reconcile = build_reconciler(
            settings,
            self.cache,
            self.cluster,  # type: ignore[arg-type]
            store,
            lambda: self.now,
            lambda: "id",
            on_delivered=self.delivered.append,
        )
        queue = WorkQueue(self.reconcile, lambda: self.now, lambda error: None)
        self.handlers = Handlers(self.cache, queue)

    async def apply(self, **spec: Any) -> float | None:
        """The session is created or changed, and looked at."""
        if self.cluster.session is None:
            self.cluster.session = {
                "metadata": {
                    "name": KEY.name,
                    "namespace": KEY.namespace,
                    "uid": UID,
                    "generation": 0,
                    "resourceVersion": "1",
                    "creationTimestamp": datetime.now(UTC).isoformat(),
                },
                "spec": {"user": {"id": "42"}},
            }
        self.cluster.session["spec"].update(spec)
        self.cluster.session["metadata"]["generation"] += 1
        self.cluster.bump()
        return await self.look()

    async def look(self) -> float | None:
        """A watch event comes, a while after the last one."""
        self.now += 5
        if self.cluster.session is None:
            self.handlers.forget_session(KEY)
        else:
            self.handlers.session(copy.deepcopy(self.cluster.session), deleted=False)
        return await self.reconcile(KEY)

    async def connect(self, run: int) -> None:
        """The run's pod runs and its runner says hello."""
        self.pod(run, phase="Running", state="running")
        answer = await self.store.hello(
            "42", run=f"{UID}/{run}", pod_uid=f"pod-{run}", pod=f"anna-r{run}-x"
        )
        assert answer.answer is RunAnswer.OK
        await self.look()

    def pod(
        self, run: int, *, phase: str, state: str, exit_code: int = 0, disrupted: bool = False
    ) -> None:
        job = self.cluster.jobs[f"anna-r{run}"]
        details = {"exitCode": exit_code} if state == "terminated" else {}
        body: dict[str, Any] = {
            "metadata": {
                "name": f"anna-r{run}-x",
                "namespace": "agents",
                "uid": f"pod-{run}",
                "labels": job["spec"]["template"]["metadata"]["labels"],
            },
            "spec": {"nodeName": "node-1"},
            "status": {"phase": phase, "containerStatuses": [{"state": {state: details}}]},
        }
        if disrupted:
            body["status"]["conditions"] = [
                {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
            ]
        self.handlers.pod(body, deleted=False)

    async def answer(self, run: int, text: str) -> None:
        """The runner takes its turn and answers it."""
        turn = await self.store.begin_turn(
            "42", run=f"{UID}/{run}", pod_uid=f"pod-{run}", turn=f"turn-{text}", timeout_seconds=60
        )
        assert turn.answer is RunAnswer.TURN
        result = ResultRecord(TurnOutcome.SUCCEEDED, text, "conversation-1")
        await self.store.commit_result("42", run=f"{UID}/{run}", turn=turn.turn, result=result)
        await self.look()

    async def leave(self, run: int) -> None:
        """The drained runner says bye and its container ends."""
        bye = await self.store.bye("42", run=f"{UID}/{run}", pod_uid=f"pod-{run}")
        assert bye is RunAnswer.BYE
        self.pod(run, phase="Running", state="terminated")
        await self.look()

    @property
    def status(self) -> dict[str, Any]:
        assert self.cluster.session is not None
        status: dict[str, Any] = self.cluster.session["status"]
        return status
