"""The cluster under a bench: waiting by watches, and everything that was made gone at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kubernetes import client, config
from kubernetes import watch as kube_watch
from kubernetes.client.exceptions import ApiException

from agentsession_core import naming
from workbench.clusters import Cluster
from workbench.console import WorkbenchError
from workbench.settings import Names

Body = dict[str, Any]
Holds = Callable[[Body], bool]

LABEL = "agentsession.dev/bench"
WAIT_SECONDS = 90
GONE_SECONDS = 120
STORAGE = "1Gi"


class Ground:
    """The sessions' namespace of one installation, for one bench.

    Everything it makes carries a label of the bench, so that even what a killed bench left is found.
    """

    def __init__(self, cluster: Cluster, names: Names, bench_id: str) -> None:
        config.load_kube_config(cluster.kubeconfig)
        self.cluster = cluster
        self.names = names
        self.bench_id = bench_id
        self.custom = client.CustomObjectsApi()
        self.core = client.CoreV1Api()
        self.batch = client.BatchV1Api()
        self._api = client.ApiClient()

    @property
    def namespace(self) -> str:
        """Where sessions live."""
        return self.names.sessions_namespace

    def label(self) -> dict[str, str]:
        """The label of what this bench makes."""
        return {LABEL: self.bench_id}

    def plain(self, model: object) -> Body:
        """An answer of the client as the API server's own JSON."""
        body: Body = self._api.sanitize_for_serialization(model)
        return body

    def create_claim(self, name: str, labels: dict[str, str]) -> None:
        """A volume claim of the size that figures are made with."""
        body = {
            "metadata": {"name": name, "labels": {**labels, **self.label()}},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": STORAGE}},
            },
        }
        self.core.create_namespaced_persistent_volume_claim(self.namespace, body)

    def delete_claim(self, name: str) -> None:
        """The claim goes once no pod uses it."""
        self.core.delete_namespaced_persistent_volume_claim(name, self.namespace)

    def wait_session(
        self, name: str, what: str, holds: Holds, seconds: float = WAIT_SECONDS
    ) -> Body:
        """Watches the session until `holds` is true of it. Raises WorkbenchError."""
        return self._wait(
            f"session {name}: {what}",
            self.custom.list_namespaced_custom_object,
            (naming.GROUP, naming.VERSION, self.namespace, naming.SESSION_PLURAL),
            {"field_selector": f"metadata.name={name}"},
            holds,
            seconds,
        )

    def wait_pod(self, selector: str, what: str, holds: Holds) -> Body:
        """Watches the pods with a label until `holds` is true of one. Raises WorkbenchError."""
        return self._wait(
            f"pod with {selector}: {what}",
            self.core.list_namespaced_pod,
            (self.namespace,),
            {"label_selector": selector},
            holds,
            WAIT_SECONDS,
        )

    def is_quiet(self, name: str, seconds: int) -> bool:
        """Watches the session for so long; whether it did not change."""
        listed = self.custom.list_namespaced_custom_object(
            naming.GROUP, naming.VERSION, self.namespace, naming.SESSION_PLURAL
        )
        stream = kube_watch.Watch().stream(
            self.custom.list_namespaced_custom_object,
            naming.GROUP,
            naming.VERSION,
            self.namespace,
            naming.SESSION_PLURAL,
            field_selector=f"metadata.name={name}",
            resource_version=listed["metadata"]["resourceVersion"],
            timeout_seconds=seconds,
        )
        return next(iter(stream), None) is None

    def wait_no_pods(self, selector: str) -> None:
        """Waits until no pod with the label is left. Raises WorkbenchError."""
        deadline = time.monotonic() + GONE_SECONDS
        while time.monotonic() < deadline:
            listed = self.core.list_namespaced_pod(self.namespace, label_selector=selector)
            if not listed.items:
                return
            stream = kube_watch.Watch().stream(
                self.core.list_namespaced_pod,
                self.namespace,
                label_selector=selector,
                resource_version=listed.metadata.resource_version,
                timeout_seconds=max(1, int(deadline - time.monotonic())),
            )
            next((event for event in stream if event["type"] == "DELETED"), None)
        left = [pod.metadata.name for pod in listed.items]
        raise WorkbenchError(
            f"pods are still there after {GONE_SECONDS} s: {', '.join(left)}",
            f"kubectl -n {self.namespace} describe pod {left[0]}",
        )

    def inside(
        self, namespace: str, pod: str, container: str, *command: str, stdin: str = ""
    ) -> str:
        """What a command printed in a running container. Raises WorkbenchError."""
        options = ("-i",) if stdin else ()
        target = ("exec", *options, "-n", namespace, pod, "-c", container, "--")
        return self.cluster.kubectl(*target, *command, stdin=stdin or None)

    def component_pod(self, component: str) -> Body:
        """The running pod of one of the release's parts. Raises WorkbenchError."""
        selector = (
            f"app.kubernetes.io/instance={self.names.release},"
            f"app.kubernetes.io/component={component}"
        )
        listed = self.plain(
            self.core.list_namespaced_pod(self.names.namespace, label_selector=selector)
        )
        running = [
            pod
            for pod in listed["items"]
            if pod["status"].get("phase") == "Running"
            and "deletionTimestamp" not in pod["metadata"]
        ]
        if not running:
            raise WorkbenchError(f"no {component} of {self.names.release} runs", "make install")
        first: Body = running[0]
        return first

    def clean(self) -> None:
        """Removes what benches made here, this one and those that were killed."""
        listed = self.custom.list_namespaced_custom_object(
            naming.GROUP,
            naming.VERSION,
            self.namespace,
            naming.SESSION_PLURAL,
            label_selector=LABEL,
        )
        names = [session["metadata"]["name"] for session in listed["items"]]
        for name in names:
            self.delete_session(name)
        self.batch.delete_collection_namespaced_job(
            self.namespace, label_selector=LABEL, propagation_policy="Background"
        )
        self.core.delete_collection_namespaced_persistent_volume_claim(
            self.namespace, label_selector=LABEL
        )
        for name in names:
            self.wait_no_pods(f"{naming.LABEL_SESSION}={name}")
        self.wait_no_pods(LABEL)

    def delete_session(self, name: str) -> None:
        """Deletes a session; one that is gone is a success."""
        try:
            self.custom.delete_namespaced_custom_object(
                naming.GROUP, naming.VERSION, self.namespace, naming.SESSION_PLURAL, name
            )
        except ApiException as error:
            if error.status != 404:
                raise

    def _wait(
        self,
        what: str,
        listing: Callable[..., Any],
        arguments: tuple[str, ...],
        selector: dict[str, str],
        holds: Holds,
        seconds: float,
    ) -> Body:
        deadline = time.monotonic() + seconds
        seen: Body = {}
        while (left := deadline - time.monotonic()) > 0:
            stream = kube_watch.Watch().stream(
                listing, *arguments, **selector, timeout_seconds=max(1, int(left))
            )
            for event in stream:
                seen = event["raw_object"]
                if event["type"] != "DELETED" and holds(seen):
                    return seen
        raise WorkbenchError(
            f"{what} was not seen within {seconds:.0f} s",
            f"kubectl -n {self.namespace} get agentsessions,jobs,pods,events",
            f"last seen status: {seen.get('status', {})}",
        )
