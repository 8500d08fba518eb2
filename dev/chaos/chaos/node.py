"""Scheduler and kubelet in one: pods of the real API server become real runner processes.

What a kubelet promises is kept: a container runs at most once, a pod's terminal state is written
after its processes have ended, and an object goes only after that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from agentsession_core import naming
from chaos.container import Container, ContainerSpec
from chaos.kube import Body, Kube, KubeError
from chaos.occupancy import Occupancy

NODE: Final = "chaos-node"
GRACE_SECONDS: Final = 5.0


@dataclass
class Pod:
    """A pod as the node knows it."""

    body: Body
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    container: Container | None = None
    gone: bool = False

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.body["metadata"]["uid"])

    @property
    def job(self) -> str:
        """Uid of the Job that controls it, or its own."""
        owners = self.body["metadata"].get("ownerReferences", ())
        return str(next((owner["uid"] for owner in owners), self.uid))

    @property
    def session(self) -> str:
        return str(self.body["metadata"].get("labels", {}).get(naming.LABEL_SESSION, ""))

    @property
    def deleting(self) -> bool:
        return self.gone or "deletionTimestamp" in self.body["metadata"]


class Node:
    """Runs the session namespace's pods; `occupancy` knows who was on which workspace."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        folder: Path,
        environment: Mapping[str, str],
        on_overlap: Callable[[str, str], None],
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._folder = folder
        self._environment = dict(environment)
        self.pods: dict[str, Pod] = {}
        self.occupancy = Occupancy(on_overlap)
        self.started = 0
        self._schedulable = asyncio.Event()
        self._schedulable.set()

    @property
    def running(self) -> list[Pod]:
        """Pods with a container that runs, in a stable order."""
        found = [pod for pod in self.pods.values() if pod.container and pod.container.runs]
        return sorted(found, key=lambda pod: pod.name)

    def cordon(self) -> None:
        """No new pod gets the node."""
        self._schedulable.clear()

    def uncordon(self) -> None:
        """New pods are welcome again."""
        self._schedulable.set()

    async def run(self) -> None:
        """Works until cancelled; then every container is killed."""
        async with asyncio.TaskGroup() as group:
            async for kind, body in self._kube.follow(self._path()):
                self._see(group, kind, body)

    def _see(self, group: asyncio.TaskGroup, kind: str, body: Body) -> None:
        uid = body["metadata"]["uid"]
        pod = self.pods.get(uid)
        if pod is None:
            if kind == "DELETED":
                return
            pod = self.pods[uid] = Pod(body)
            group.create_task(self._live(pod))
        pod.body = body
        pod.gone = kind == "DELETED"
        pod.changed.set()

    async def _live(self, pod: Pod) -> None:
        try:
            if await self._bind(pod):
                await self._run_container(pod)
        except KubeError as error:
            if error.status not in (404, 409):
                raise
            # The object went away under the node's hands.
            if pod.container:
                pod.container.kill()
                await pod.container.wait()
        finally:
            if pod.container and pod.container.runs:
                # The node itself goes: its containers do not stay behind.
                pod.container.kill()
            self.pods.pop(pod.uid, None)

    async def _bind(self, pod: Pod) -> bool:
        """Takes the pod; False if it was deleted before."""
        while not self._schedulable.is_set():
            waits = [
                asyncio.create_task(self._schedulable.wait()),
                asyncio.create_task(pod.changed.wait()),
            ]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            pod.changed.clear()
            if pod.deleting:
                return False
        if pod.deleting:
            return False
        if pod.body["spec"].get("nodeName"):
            return True
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
        }
        try:
            await self._kube.call("POST", f"{self._path()}/{pod.name}/binding", binding)
        except KubeError as error:
            if error.status != 409:
                raise
            # The answer of an earlier try was lost, or the pod is being deleted.
            body = await self._kube.get(f"{self._path()}/{pod.name}")
            return bool(body["metadata"]["uid"] == pod.uid and body["spec"].get("nodeName"))
        return True

    async def _run_container(self, pod: Pod) -> None:
        claim = await self._claim(pod)
        workspace = claim["metadata"]["uid"]
        spec = await self._prepare(pod, workspace)
        started = _now()
        self.occupancy.enter(workspace, pod.name, pod.job, time.monotonic())
        pod.container = container = await Container.start(spec)
        self.started += 1
        reporting = asyncio.create_task(self._report_running(pod, started))
        ending = asyncio.create_task(self._end_when_deleted(pod, container))
        try:
            code = await container.wait()
        finally:
            ending.cancel()
            reporting.cancel()
        self.occupancy.leave(workspace, pod.name, time.monotonic())
        await asyncio.wait({ending, reporting})
        await self._report_end(pod, started, code)

    async def _claim(self, pod: Pod) -> Body:
        volumes = pod.body["spec"]["volumes"]
        name = next(
            volume["persistentVolumeClaim"]["claimName"]
            for volume in volumes
            if "persistentVolumeClaim" in volume
        )
        path = f"/api/v1/namespaces/{self._namespace}/persistentvolumeclaims/{name}"
        while True:
            try:
                claim = await self._kube.get(path)
            except KubeError as error:
                if error.status != 404 or pod.deleting:
                    raise
                # As in a real cluster a pod waits for a claim that is not there yet.
                await asyncio.sleep(0.2)
                continue
            break
        if claim.get("status", {}).get("phase") != "Bound":
            await self._kube.merge(f"{path}/status", {"status": {"phase": "Bound"}})
        return claim

    async def _prepare(self, pod: Pod, workspace: str) -> ContainerSpec:
        files = self._folder / "pods" / pod.name
        files.mkdir(parents=True, exist_ok=True)
        token = files / "token"
        token.write_text(await self._token(pod), encoding="utf-8")
        container = pod.body["spec"]["containers"][0]
        env = {item["name"]: item.get("value", "") for item in container.get("env", ())}
        return ContainerSpec(
            workspace=self._folder / "volumes" / workspace,
            home=files / "home",
            token=token,
            log=self._folder / "logs" / "runners.log",
            environment={**self._environment, **env},
        )

    async def _token(self, pod: Pod) -> str:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [naming.AUDIENCE_GATEWAY],
                "expirationSeconds": 7200,
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": pod.name,
                    "uid": pod.uid,
                },
            },
        }
        account = f"serviceaccounts/{naming.RUNNER_SERVICE_ACCOUNT}/token"
        answer = await self._kube.call(
            "POST", f"/api/v1/namespaces/{self._namespace}/{account}", body
        )
        return str(answer["status"]["token"])

    async def _report_running(self, pod: Pod, started: str) -> None:
        state = {"running": {"startedAt": started}}
        try:
            await self._patch_status(pod, "Running", state, ready=True)
        except KubeError as error:
            if error.status not in (404, 409):
                raise

    async def _end_when_deleted(self, pod: Pod, container: Container) -> None:
        while not pod.deleting:
            await pod.changed.wait()
            pod.changed.clear()
        if not pod.gone:
            container.terminate()
            await asyncio.sleep(GRACE_SECONDS)
        container.kill()

    async def _report_end(self, pod: Pod, started: str, code: int) -> None:
        terminated = {
            "exitCode": code,
            "reason": "Completed" if code == 0 else "Error",
            "startedAt": started,
            "finishedAt": _now(),
        }
        phase = "Succeeded" if code == 0 else "Failed"
        await self._patch_status(pod, phase, {"terminated": terminated}, ready=False)
        while not pod.deleting:
            await pod.changed.wait()
            pod.changed.clear()
        if not pod.gone:
            await self._kube.delete(
                f"{self._path()}/{pod.name}",
                gracePeriodSeconds=0,
                preconditions={"uid": pod.uid},
            )

    async def _patch_status(
        self, pod: Pod, phase: str, state: dict[str, Any], *, ready: bool
    ) -> None:
        container = pod.body["spec"]["containers"][0]
        truth = "True" if ready else "False"
        status = {
            "phase": phase,
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": container["image"],
                    "ready": ready,
                    "restartCount": 0,
                    "state": state,
                }
            ],
        }
        body = await self._kube.get(f"{self._path()}/{pod.name}")
        if body["metadata"]["uid"] != pod.uid:
            raise KubeError(404, "another pod has the name")
        # A merge patch replaces the list: what others wrote into it stays.
        others = [
            condition
            for condition in body.get("status", {}).get("conditions") or ()
            if condition["type"] not in ("Ready", "ContainersReady")
        ]
        own = [{"type": kind, "status": truth} for kind in ("Ready", "ContainersReady")]
        patch = {
            "metadata": {"resourceVersion": body["metadata"]["resourceVersion"]},
            "status": {**status, "conditions": [*others, *own]},
        }
        try:
            await self._kube.merge(f"{self._path()}/{pod.name}/status", patch)
        except KubeError as error:
            if error.status != 409:
                raise
            await self._patch_status(pod, phase, state, ready=ready)

    def _path(self) -> str:
        return f"/api/v1/namespaces/{self._namespace}/pods"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
