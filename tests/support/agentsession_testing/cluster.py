"""The installed product as an end-to-end test sees it: kubectl, watches, the model server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from kubernetes import client, config, watch

Body = dict[str, Any]
Predicate = Callable[[Body], bool]

GROUP, VERSION, PLURAL = "agentsession.dev", "v1alpha1", "agentsessions"
ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Names:
    """What the installation under test is called."""

    release: str
    namespace: str
    sessions_namespace: str

    @classmethod
    def from_environment(cls) -> Names:
        return cls(**json.loads(os.environ["AGENTSESSION_TEST_NAMES"]))


class KubectlError(AssertionError):
    """kubectl refused; its words are the message."""


class Product:
    """An installation, driven the way its users drive it."""

    def __init__(self, names: Names) -> None:
        self.names = names
        config.load_kube_config()
        self.custom = client.CustomObjectsApi()
        self.core = client.CoreV1Api()
        self.batch = client.BatchV1Api()

    def kubectl(self, *arguments: str, stdin: str | None = None, namespace: str = "") -> str:
        """Standard output of kubectl. Raises KubectlError."""
        done = subprocess.run(
            ["kubectl", "-n", namespace or self.names.sessions_namespace, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise KubectlError(done.stderr)
        return done.stdout

    def manifest(self, name: str, user: str = "", **spec: Any) -> Body:
        """An AgentSession; the user's id is the session's name unless given."""
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "AgentSession",
            "metadata": {"name": name, "namespace": self.names.sessions_namespace},
            "spec": {"user": {"id": user or name}, **spec},
        }

    def template(self, name: str, **spec: Any) -> Body:
        """An AgentSessionTemplate."""
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "AgentSessionTemplate",
            "metadata": {"name": name, "namespace": self.names.sessions_namespace},
            "spec": spec,
        }

    @contextmanager
    def applied(self, *manifests: Body) -> Iterator[None]:
        """Objects that are there within the block. Raises KubectlError."""
        try:
            for manifest in manifests:
                self.apply(manifest)
            yield
        finally:
            for manifest in reversed(manifests):
                self.delete(manifest["kind"], manifest["metadata"]["name"])

    def delete(self, kind: str, name: str) -> None:
        """Deletes an object and waits until it is gone; one that is not there is fine."""
        self.kubectl("delete", kind, name, "--ignore-not-found", "--timeout=60s")

    def apply(self, manifest: Body) -> Body:
        """`kubectl apply`; answers the object. Raises KubectlError."""
        applied = self.kubectl("apply", "-f", "-", "-o", "json", stdin=json.dumps(manifest))
        body: Body = json.loads(applied)
        return body

    def patch(self, name: str, **spec: Any) -> Body:
        """`kubectl patch` of the session's spec; answers the object."""
        patched = self.kubectl(
            "patch",
            "agentsession",
            name,
            "--type=merge",
            "-p",
            json.dumps({"spec": spec}),
            "-o",
            "json",
        )
        body: Body = json.loads(patched)
        return body

    def get(self, name: str) -> Body:
        body: Body = json.loads(self.kubectl("get", "agentsession", name, "-o", "json"))
        return body

    def wait(self, name: str, what: str, holds: Predicate, seconds: float = ANSWER_SECONDS) -> Body:
        """Watches the session until `holds`; fails with everything that is known of it."""
        deadline = time.monotonic() + seconds
        seen: Body = {}
        while (left := deadline - time.monotonic()) > 0:
            stream = watch.Watch().stream(
                self.custom.list_namespaced_custom_object,
                GROUP,
                VERSION,
                self.names.sessions_namespace,
                PLURAL,
                field_selector=f"metadata.name={name}",
                timeout_seconds=max(1, int(left)),
            )
            for event in stream:
                seen = event["object"]
                if event["type"] != "DELETED" and holds(seen):
                    return seen
        raise AssertionError(
            f"{name}: {what} not seen within {seconds:.0f} s\n{self.describe(name, seen)}"
        )

    def wait_gone(self, path: str, name: str, seconds: float = ANSWER_SECONDS) -> None:
        """Waits until an object is deleted; `path` is a kubectl kind."""
        self.kubectl("wait", "--for=delete", f"{path}/{name}", f"--timeout={seconds:.0f}s")

    def answer(self, body: Body, seconds: float = ANSWER_SECONDS) -> Body:
        """The turn that answers the prompt of `body` as it was applied; answers the session."""
        name, generation = body["metadata"]["name"], body["metadata"]["generation"]
        return self.wait(
            name,
            f"an answer to the prompt of generation {generation}",
            lambda seen: handled_generation(seen) >= generation,
            seconds,
        )

    def wait_phase(self, name: str, phase: str, seconds: float = ANSWER_SECONDS) -> Body:
        return self.wait(name, f"phase {phase}", lambda seen: phase_of(seen) == phase, seconds)

    def wait_reason(
        self, name: str, kind: str, reason: str, seconds: float = ANSWER_SECONDS
    ) -> Body:
        return self.wait(
            name,
            f"condition {kind} with reason {reason}",
            lambda seen: condition(seen, kind).get("reason") == reason,
            seconds,
        )

    def events(self, name: str) -> list[str]:
        """Reasons of the session's Events, oldest first."""
        listed = self.core.list_namespaced_event(
            self.names.sessions_namespace,
            field_selector=f"involvedObject.kind=AgentSession,involvedObject.name={name}",
        )
        ordered = sorted(listed.items, key=lambda event: int(event.metadata.resource_version))
        return [event.reason for event in ordered]

    def wait_event(self, name: str, reason: str, seconds: float = 15.0) -> None:
        """Waits until the session has an Event with this reason; Events come after the status."""
        stream = watch.Watch().stream(
            self.core.list_namespaced_event,
            self.names.sessions_namespace,
            field_selector=f"involvedObject.kind=AgentSession,involvedObject.name={name}",
            timeout_seconds=int(seconds),
        )
        seen = []
        for event in stream:
            seen.append(event["object"].reason)
            if reason in seen:
                return
        raise AssertionError(f"{name}: no Event {reason} within {seconds:.0f} s; seen: {seen}")

    def event_types(self, name: str, reason: str) -> set[str]:
        """Types of the session's Events with this reason; waits until there is one."""
        self.wait_event(name, reason)
        listed = self.core.list_namespaced_event(
            self.names.sessions_namespace,
            field_selector=f"involvedObject.kind=AgentSession,involvedObject.name={name}",
        )
        return {event.type for event in listed.items if event.reason == reason}

    def pods(self, name: str) -> list[Any]:
        """The session's pods."""
        found: list[Any] = self.core.list_namespaced_pod(
            self.names.sessions_namespace, label_selector=f"agentsession.dev/session={name}"
        ).items
        return found

    def part(self, component: str) -> list[Any]:
        """Pods of one of the product's parts, without those that are about to go."""
        selector = (
            f"app.kubernetes.io/instance={self.names.release},"
            f"app.kubernetes.io/component={component}"
        )
        found = self.core.list_namespaced_pod(self.names.namespace, label_selector=selector)
        return [pod for pod in found.items if pod.metadata.deletion_timestamp is None]

    def jobs(self, name: str) -> list[str]:
        """Names of the session's Jobs."""
        listed = self.batch.list_namespaced_job(
            self.names.sessions_namespace, label_selector=f"agentsession.dev/session={name}"
        )
        return sorted(job.metadata.name for job in listed.items)

    def describe(self, name: str, seen: Body) -> str:
        """Everything a person would look at."""
        namespace, system = self.names.sessions_namespace, self.names.namespace
        label = f"agentsession.dev/session={name}"
        commands = [
            ("describe", "agentsession", name, "-n", namespace),
            ("get", "jobs,pods,pvc", "-l", label, "-o", "wide", "-n", namespace),
            ("describe", "pods", "-l", label, "-n", namespace),
            ("logs", "-l", label, "--tail=40", "--prefix", "-n", namespace),
            ("logs", f"deploy/{self.names.release}-operator", "--tail=40", "-n", system),
            ("logs", f"deploy/{self.names.release}-gateway", "--tail=40", "-n", system),
        ]
        parts = [json.dumps(seen.get("status", {}), indent=1)]
        for command in commands:
            done = subprocess.run(
                ["kubectl", *command], capture_output=True, text=True, check=False
            )
            parts.append(f"$ kubectl {' '.join(command)}\n{done.stdout}{done.stderr}")
        return "\n".join(parts)

    @contextmanager
    def port_forward(self, target: str, port: int) -> Iterator[str]:
        """URL under which a Service's port is reached from here."""
        command = ["kubectl", "-n", self.names.namespace, "port-forward", target, f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                match = re.search(r"127\.0\.0\.1:(\d+)", line)
                assert match, f"kubectl port-forward {target}: {line!r}"
                yield f"http://127.0.0.1:{match.group(1)}"
            finally:
                process.terminate()


class ModelServer:
    """The scripted model server's records and failures."""

    def __init__(self, url: str) -> None:
        # A new connection each time: the server closes idle ones, sometimes just as one is used again.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(base_url=url, timeout=60, limits=limits)

    def close(self) -> None:
        self._http.close()

    def requests(self, contains: str) -> list[Body]:
        """Main requests whose newest user text contains something, oldest first."""
        answer = self._http.get("/_control/requests", params={"kind": "main", "answered": "true"})
        answer.raise_for_status()
        return [
            record
            for record in answer.json()["requests"]
            if any(contains in text for text in record["user_texts"][-1:])
        ]

    def body(self, record: Body) -> str:
        """The body of one of the newest 20 requests."""
        return (
            self._http.get(f"/_control/requests/{record['sequence']}/body").raise_for_status().text
        )

    @contextmanager
    def with_rule(self, rule: Body) -> Iterator[None]:
        """A rule that comes before all others within the block."""
        before = self._http.get("/_control/rules").raise_for_status().json()
        rules = {**before, "rules": [rule, *before["rules"]]}
        self._http.put("/_control/rules", json=rules).raise_for_status()
        try:
            yield
        finally:
            self._http.put("/_control/rules", json=before).raise_for_status()

    def fail(self, count: int, text: str | None = None, **effect: Any) -> None:
        """Makes the next `count` main requests fail, or those whose newest text fits a regex."""
        body = {"count": count, "fail": effect, "kind": "main", "text": text}
        self._http.post("/_control/fail", json=body).raise_for_status()

    def mend(self) -> None:
        """Ends the failures."""
        self._http.delete("/_control/fail").raise_for_status()


def condition(body: Body, kind: str) -> Body:
    """One condition of a session; {} if it has none of that type."""
    conditions = body.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind), {})


def phase_of(body: Body) -> str:
    return str(body.get("status", {}).get("phase", ""))


def reply_of(body: Body) -> str:
    return str(body.get("status", {}).get("lastTurn", {}).get("reply", ""))


def handled_generation(body: Body) -> int:
    """Generation of the newest prompt that has an answer; 0 if none has."""
    handled = str(body.get("status", {}).get("lastHandledMessageID", "")).rpartition(".")[2]
    return int(handled) if handled.isdigit() else 0
