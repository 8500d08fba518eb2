"""What a garbage collector leaves, on a real API server: it has none at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from agentsession_core import kube
from agentsession_operator.cache import Cache
from agentsession_operator.cluster import Cluster
from agentsession_operator.handlers import Handlers
from agentsession_operator.model import Key
from agentsession_operator.orphans import PATIENCE_SECONDS, Orphans
from agentsession_operator.workqueue import WorkQueue
from agentsession_testing.api_server import ApiServer, running

NAMESPACE = "agents"
API = "agentsession.dev/v1alpha1"
CLAIMS = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
SESSIONS = f"/apis/{API}/namespaces/{NAMESPACE}/agentsessions"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("api-server")) as server:
        server.install(NAMESPACE)
        yield server


class Stage:
    """A session with a claim and a Job, and an operator's memory of it."""

    def __init__(self, server: ApiServer, cluster: Cluster, name: str) -> None:
        self.server, self.name, self.now = server, name, 1000.0
        self.cache = Cache()
        self.handlers = Handlers(self.cache, WorkQueue(_nothing, lambda: 0.0, lambda _: None))
        self.orphans = Orphans(self.cache, cluster, lambda: self.now)
        self.session = self.make_session()
        metadata: dict[str, Any] = {
            "namespace": NAMESPACE,
            "labels": {
                "agentsession.dev/session": name,
                "app.kubernetes.io/managed-by": "agentsession-operator",
            },
            "ownerReferences": [
                {
                    "apiVersion": API,
                    "kind": "AgentSession",
                    "name": name,
                    "uid": self.session["metadata"]["uid"],
                    "controller": True,
                }
            ],
        }
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {**metadata, "name": f"{name}-workspace"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        containers = [{"name": "agent", "image": "localhost/agent:1"}]
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {**metadata, "name": f"{name}-r1"},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}},
        }
        self.handlers.claim(server.apply(claim), deleted=False)
        self.handlers.job(server.apply(job), deleted=False)

    def make_session(self) -> dict[str, Any]:
        return self.server.apply(
            {
                "apiVersion": API,
                "kind": "AgentSession",
                "metadata": {"name": self.name, "namespace": NAMESPACE},
                "spec": {"user": {"id": self.name}},
            }
        )

    def delete_session(self) -> None:
        with self.server.client() as client:
            client.delete(f"{SESSIONS}/{self.name}").raise_for_status()

    async def sweep_until_patience_ends(self) -> None:
        await self.orphans.sweep()
        self.now += PATIENCE_SECONDS
        await self.orphans.sweep()

    @property
    def left(self) -> list[str]:
        """Names of this session's children that nobody has begun to delete."""
        items = [*self.server.get(CLAIMS)["items"], *self.server.get(JOBS)["items"]]
        return sorted(
            item["metadata"]["name"]
            for item in items
            if item["metadata"]["name"].startswith(f"{self.name}-")
            and "deletionTimestamp" not in item["metadata"]
        )


async def _nothing(key: Key) -> float | None:
    raise AssertionError(f"{key} was looked at")


@pytest.fixture
async def cluster(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
    async with kube.connect("test") as api:
        yield Cluster(api)


async def test_left_by_a_deletion(server: ApiServer, cluster: Cluster) -> None:
    stage = Stage(server, cluster, "left")
    stage.delete_session()
    await stage.orphans.sweep()
    assert stage.left == ["left-r1", "left-workspace"], "the garbage collector has its time"
    stage.now += PATIENCE_SECONDS
    await stage.orphans.sweep()
    assert stage.left == []


async def test_the_next_session_of_the_name_gets_a_volume(
    server: ApiServer, cluster: Cluster
) -> None:
    stage = Stage(server, cluster, "next")
    stage.delete_session()
    following = stage.make_session()
    assert following["metadata"]["uid"] != stage.session["metadata"]["uid"]
    stage.handlers.session(following, deleted=False)
    await stage.sweep_until_patience_ends()
    assert stage.left == []


async def test_a_session_that_no_watch_has_shown_keeps_its_own(
    server: ApiServer, cluster: Cluster
) -> None:
    stage = Stage(server, cluster, "unseen")
    await stage.sweep_until_patience_ends()
    assert stage.left == ["unseen-r1", "unseen-workspace"]
