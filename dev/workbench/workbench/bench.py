"""Figures: how long until a message reaches the model, beside a plain Job in the same run."""

from __future__ import annotations

import json
import os
import statistics
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
from kubernetes import client, config
from kubernetes import watch as kube_watch
from rich.console import Console
from rich.table import Table

from workbench.clusters import Cluster
from workbench.console import Reporter, WorkbenchError
from workbench.forward import port_forward
from workbench.images import read_images
from workbench.settings import Names, Settings

ROUNDS = int(os.environ.get("ROUNDS", "10"))
GROUP, VERSION, PLURAL = "agentsession.dev", "v1alpha1", "agentsessions"
WAIT_SECONDS = 60


class _Bench:
    def __init__(self, names: Names, http: httpx.Client, image: str) -> None:
        self._namespace = names.sessions_namespace
        self._http = http
        self._image = image
        self._custom = client.CustomObjectsApi()
        self._batch = client.BatchV1Api()
        self._core = client.CoreV1Api()

    def create(self, name: str, suspend_after: int) -> None:
        """A session that has answered once."""
        spec = {
            "user": {"id": name},
            "prompt": f"first {name}",
            "idlePolicy": {"suspendAfterSeconds": suspend_after, "deleteAfterSeconds": 3600},
        }
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "AgentSession",
            "metadata": {"name": name},
            "spec": spec,
        }
        self._custom.create_namespaced_custom_object(GROUP, VERSION, self._namespace, PLURAL, body)

    def delete(self, name: str) -> None:
        self._custom.delete_namespaced_custom_object(GROUP, VERSION, self._namespace, PLURAL, name)

    def wait(self, name: str, what: str, holds: Callable[[dict[str, Any]], bool]) -> None:
        """Watches until the session's status fits."""
        stream = kube_watch.Watch().stream(
            self._custom.list_namespaced_custom_object,
            GROUP,
            VERSION,
            self._namespace,
            PLURAL,
            field_selector=f"metadata.name={name}",
            timeout_seconds=WAIT_SECONDS,
        )
        for event in stream:
            if holds(event["object"].get("status", {})):
                return
        raise WorkbenchError(
            f"{name}: {what} not seen within {WAIT_SECONDS} s", "kubectl describe it"
        )

    def message(self, name: str) -> float:
        """Seconds from the changed prompt's request to its model request's arrival."""
        marker = uuid.uuid4().hex
        newest = self._newest()
        start = time.time()
        self._custom.patch_namespaced_custom_object(
            GROUP, VERSION, self._namespace, PLURAL, name, {"spec": {"prompt": f"bench {marker}"}}
        )
        return self._arrival(newest, marker) - start

    def _newest(self) -> int:
        return int(self._http.get("/_control/requests").json()["last"])

    def _arrival(self, after: int, marker: str) -> float:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            answer = self._http.get(
                "/_control/requests", params={"after": after, "wait": WAIT_SECONDS, "kind": "main"}
            ).json()
            for record in answer["requests"]:
                after = max(after, record["sequence"])
                if any(marker in text for text in record["user_texts"]):
                    return float(record["received_at"])
        raise WorkbenchError(
            "the message did not reach the model server", "make demo shows whether it can"
        )

    def plain_job(self, claim: str) -> float:
        """Seconds from a Job's creation to its first instruction, with a session's volumes."""
        name = f"bench-{uuid.uuid4().hex[:8]}"
        mounts = {
            "workspace": "/workspace",
            "home": "/home/agent",
            "tmp": "/tmp",  # noqa: S108 - a path in the container
            "token": "/token",
        }
        token = {
            "serviceAccountToken": {"path": "token", "audience": "bench", "expirationSeconds": 7200}
        }
        pod = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "serviceAccountName": "agentsession-runner",
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "fsGroup": 1000,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "main",
                    "image": self._image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["bash", "-c", "echo $EPOCHREALTIME"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": n, "mountPath": p} for n, p in mounts.items()],
                }
            ],
            "volumes": [
                {"name": "workspace", "persistentVolumeClaim": {"claimName": claim}},
                {"name": "home", "emptyDir": {}},
                {"name": "tmp", "emptyDir": {}},
                {"name": "token", "projected": {"sources": [token]}},
            ],
        }
        body = {
            "metadata": {"name": name},
            "spec": {"backoffLimit": 0, "template": {"spec": pod}},
        }
        start = time.time()
        self._batch.create_namespaced_job(self._namespace, body)
        self._wait_for_job(name)
        selector = f"batch.kubernetes.io/job-name={name}"
        pods = self._core.list_namespaced_pod(self._namespace, label_selector=selector)
        log = self._core.read_namespaced_pod_log(pods.items[0].metadata.name, self._namespace)
        self._batch.delete_namespaced_job(name, self._namespace, propagation_policy="Background")
        return float(log.strip()) - start

    def _wait_for_job(self, name: str) -> None:
        stream = kube_watch.Watch().stream(
            self._batch.list_namespaced_job,
            self._namespace,
            field_selector=f"metadata.name={name}",
            timeout_seconds=WAIT_SECONDS,
        )
        for event in stream:
            if event["object"].status.succeeded:
                return
        raise WorkbenchError(
            f"plain Job {name} did not end within {WAIT_SECONDS} s", "kubectl describe it"
        )


def run_bench(settings: Settings, cluster: Cluster, names: Names, reporter: Reporter) -> None:
    """Prints a table and writes `.build/bench.json`. Raises WorkbenchError."""
    config.load_kube_config(cluster.kubeconfig)
    agent = read_images(settings.clone)["agent"]
    image = f"{agent['repository']}:{agent['tag']}"
    target = f"svc/{names.release}-model-server"
    with (
        port_forward(cluster, names.namespace, target, 8080) as url,
        httpx.Client(base_url=url, timeout=WAIT_SECONDS + 10) as http,
    ):
        bench = _Bench(names, http, image)
        figures = _measure(bench, reporter)
    _report(settings, figures)


def _measure(bench: _Bench, reporter: Reporter) -> dict[str, list[float]]:
    warm, asleep = f"bench-warm-{uuid.uuid4().hex[:6]}", f"bench-cold-{uuid.uuid4().hex[:6]}"
    figures: dict[str, list[float]] = {
        "plain Job → first instruction": [],
        "suspended": [],
        "warm": [],
    }
    bench.create(warm, 600)
    bench.create(asleep, 1)
    try:
        with reporter.step(f"warm: {ROUNDS} messages"):
            bench.wait(warm, "an answer", _idle)
            for _ in range(ROUNDS):
                figures["warm"].append(bench.message(warm))
                bench.wait(warm, "phase Idle", _idle)
        with reporter.step(f"suspended, beside a plain Job: {ROUNDS} pairs"):
            for _ in range(ROUNDS):
                bench.wait(asleep, "phase Suspended", _asleep)
                figures["plain Job → first instruction"].append(
                    bench.plain_job(f"{asleep}-workspace")
                )
                figures["suspended"].append(bench.message(asleep))
    finally:
        for name in (warm, asleep):
            bench.delete(name)
    return figures


def _idle(status: dict[str, Any]) -> bool:
    return (
        status.get("phase") == "Idle" and status.get("lastTurn", {}).get("outcome") == "Succeeded"
    )


def _asleep(status: dict[str, Any]) -> bool:
    return status.get("phase") == "Suspended" and bool(status.get("lastTurn"))


def _report(settings: Settings, figures: dict[str, list[float]]) -> None:
    load = os.getloadavg()[0]
    table = Table(
        title=f"changed prompt → request at the model server, seconds "
        f"(load {load:.1f}, {os.cpu_count()} cores)"
    )
    for column in ("what", "n", "min", "p50", "p95", "max"):
        table.add_column(column, justify="left" if column == "what" else "right")
    summary = {}
    for name, values in figures.items():
        ordered = sorted(values)
        p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
        row = [min(values), statistics.median(values), p95, max(values)]
        table.add_row(name, str(len(values)), *(f"{value:.3f}" for value in row))
        summary[name] = dict(zip(("min", "p50", "p95", "max"), row, strict=True)) | {
            "values": values
        }
    Console().print(table)
    report = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load": load,
        "seconds": summary,
    }
    path = settings.clone / ".build" / "bench.json"
    path.write_text(json.dumps(report, indent=2))
    Console().print(f"{path.relative_to(settings.clone)} holds every value")
