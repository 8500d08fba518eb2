"""Sessions of a bench."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from agentsession_core import naming
from workbench.bench.ground import Body, Ground
from workbench.bench.processes import TIMES_PROGRAM, Process, read_processes
from workbench.console import WorkbenchError

DELETE_AFTER_SECONDS = 3600
NEVER_IN_A_BENCH_SECONDS = 1800


@dataclass(frozen=True)
class Session:
    """A session of this bench; its mailbox has its name."""

    ground: Ground
    name: str

    @property
    def selector(self) -> str:
        """Selects the session's pods."""
        return f"{naming.LABEL_SESSION}={self.name}"

    def create(
        self,
        prompt: str,
        *,
        suspend_after: int = NEVER_IN_A_BENCH_SECONDS,
        keeps_volume: bool = False,
    ) -> float:
        """Creates it; answers when, in Unix seconds, the request was sent."""
        spec: dict[str, Any] = {
            "user": {"id": self.name},
            "prompt": prompt,
            "idlePolicy": {
                "suspendAfterSeconds": suspend_after,
                "deleteAfterSeconds": DELETE_AFTER_SECONDS,
            },
        }
        if keeps_volume:
            # A claim without an owner is taken over as it is: no write more than a plain Job's.
            spec["workspace"] = {"retentionPolicy": {"whenDeleted": "Retain"}}
        body = {
            "apiVersion": naming.API_VERSION,
            "kind": naming.SESSION_KIND,
            "metadata": {"name": self.name, "labels": self.ground.label()},
            "spec": spec,
        }
        sent = time.time()
        self.ground.custom.create_namespaced_custom_object(
            naming.GROUP, naming.VERSION, self.ground.namespace, naming.SESSION_PLURAL, body
        )
        return sent

    def claim_labels(self) -> dict[str, str]:
        """Labels by which the operator knows a claim made before the session as the session's."""
        return {
            naming.LABEL_MANAGED_BY: naming.MANAGED_BY,
            naming.LABEL_SESSION: self.name,
            naming.LABEL_USER: self.name,
        }

    def change_prompt(self, prompt: str) -> tuple[float, int]:
        """When the request was sent (Unix seconds), and the session's generation after it."""
        sent = time.time()
        patched = self.ground.custom.patch_namespaced_custom_object(
            naming.GROUP,
            naming.VERSION,
            self.ground.namespace,
            naming.SESSION_PLURAL,
            self.name,
            {"spec": {"prompt": prompt}},
        )
        return sent, int(patched["metadata"]["generation"])

    def wait_answer(self, generation: int, phase: str = "Idle") -> Body:
        """Waits until that prompt is answered and the session rests. Raises WorkbenchError."""
        seen = self.ground.wait_session(
            self.name,
            f"an answer to generation {generation} and phase {phase}",
            lambda body: _handled(body) >= generation and _phase(body) == phase,
        )
        outcome = seen["status"].get("lastTurn", {}).get("outcome")
        if outcome != "Succeeded":
            raise WorkbenchError(
                f"session {self.name}: its turn ended as {outcome}",
                "make demo shows whether turns succeed here",
            )
        return seen

    def suspend_after(self, seconds: int) -> None:
        """Lets it sleep after so many idle seconds."""
        self.ground.custom.patch_namespaced_custom_object(
            naming.GROUP,
            naming.VERSION,
            self.ground.namespace,
            naming.SESSION_PLURAL,
            self.name,
            {"spec": {"idlePolicy": {"suspendAfterSeconds": seconds}}},
        )

    def wait_asleep(self, runs: int) -> None:
        """Waits until it sleeps after so many runs: before, its status may be of an earlier sleep.

        Raises WorkbenchError.
        """
        self.ground.wait_session(
            self.name,
            f"phase Suspended after run {runs}",
            lambda body: _phase(body) == "Suspended" and _runs(body) >= runs,
        )

    def wait_running_pod(self) -> str:
        """Name of the session's pod once commands can be run in it. Raises WorkbenchError."""
        pod = self.ground.wait_pod(self.selector, "a running container", _is_running)
        return str(pod["metadata"]["name"])

    def processes(self, pod: str) -> list[Process]:
        """Who runs in the pod, and since when. Raises WorkbenchError."""
        command = ("python3", "-I", "-c", TIMES_PROGRAM)
        output = self.ground.inside(self.ground.namespace, pod, naming.RUNNER_CONTAINER, *command)
        return read_processes(output)

    def cli_version(self) -> str:
        """Agent type and version of its CLI, as the pod has them. Raises WorkbenchError."""
        command = ("sh", "-c", 'echo "$AGENT_TYPE $AGENTSESSION_CLI_VERSION"')
        pod, namespace = self.wait_running_pod(), self.ground.namespace
        return self.ground.inside(namespace, pod, naming.RUNNER_CONTAINER, *command).strip()

    def delete(self) -> None:
        """Deletes it and waits until its pods are gone. Raises WorkbenchError."""
        self.ground.delete_session(self.name)
        self.ground.wait_no_pods(self.selector)


def _handled(body: Body) -> int:
    handled = str(body.get("status", {}).get("lastHandledMessageID", "")).rpartition(".")[2]
    return int(handled) if handled.isdigit() else 0


def _phase(body: Body) -> str:
    return str(body.get("status", {}).get("phase", ""))


def _is_running(pod: Body) -> bool:
    containers = pod.get("status", {}).get("containerStatuses") or []
    running = bool(containers) and all("running" in c.get("state", {}) for c in containers)
    return running and "deletionTimestamp" not in pod["metadata"]


def _runs(body: Body) -> int:
    return int(body.get("status", {}).get("runs", 0))
