"""Connecting from inside of pods, and addresses of the host that something listens on."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from agentsession_testing.cluster import Product, reply_of

LOCAL_NODE = "localcluster"
RESULT = re.compile(r"RESULT (\{.*\})")
# Tries every HOST:PORT once and prints what came of it; a DNS failure is no refusal.
CONNECT = """
import json, socket, sys
found = {}
for text in sys.argv[1:]:
    host, _, port = text.rpartition(":")
    try:
        address = socket.getaddrinfo(host, int(port), socket.AF_INET, socket.SOCK_STREAM)[0][4]
    except OSError as error:
        found[text] = "unresolved: %s" % error
        continue
    try:
        socket.create_connection(address, 3).close()
        found[text] = "open"
    except OSError as error:
        found[text] = "refused: %s" % error
print("RESULT " + json.dumps(found))
"""
# From the first instruction on: how often, in three seconds, each HOST:PORT accepted a connection, and
# what the very first attempt met.
AT_ONCE = """
import json, socket, sys, time
found = {text: {"first": None, "open": 0, "tries": 0} for text in sys.argv[1:]}
end = time.monotonic() + 3
while time.monotonic() < end:
    for text, seen in found.items():
        host, _, port = text.rpartition(":")
        try:
            socket.create_connection((host, int(port)), 0.5).close()
            answer = "open"
            seen["open"] += 1
        except OSError as error:
            answer = "refused: %s" % error
        seen["tries"] += 1
        seen["first"] = seen["first"] or answer
    time.sleep(0.005)
print("RESULT " + json.dumps(found))
"""


def command(program: str, targets: Sequence[str]) -> str:
    """One line of shell that runs a program above."""
    code = base64.b64encode(program.encode()).decode()
    words = " ".join(targets)
    return f"python3 -c \"import base64; exec(base64.b64decode('{code}'))\" {words}"


def result(text: str) -> dict[str, Any]:
    """What the program printed, found in whatever an agent or a log has around it."""
    match = RESULT.search(text)
    assert match, f"no RESULT in: {text}"
    found: dict[str, Any] = json.loads(match[1])
    return found


def from_here(targets: Sequence[str]) -> dict[str, str]:
    """What the host reaches."""
    done = subprocess.run(
        ["python3", "-c", CONNECT, *targets], capture_output=True, text=True, check=True
    )
    return result(done.stdout)


def from_run(product: Product, session: str, targets: Sequence[str]) -> dict[str, str]:
    """What the agent of a session reaches when a prompt asks it to try."""
    prompt = f"run: {command(CONNECT, targets)}"
    return result(reply_of(product.answer(product.patch(session, prompt=prompt))))


@dataclass(frozen=True)
class Pods:
    """Plain pods beside the product's: in a namespace of their own, or among the runs."""

    product: Product
    image: str

    def manifest(
        self, name: str, namespace: str, arguments: Sequence[str], labels: dict[str, str]
    ) -> dict[str, Any]:
        """A pod that Pod Security `restricted` admits."""
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {
                "restartPolicy": "Never",
                "enableServiceLinks": False,
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 1000,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "main",
                        "image": self.image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": list(arguments),
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
            },
        }

    def run(
        self, name: str, namespace: str, arguments: Sequence[str], labels: dict[str, str]
    ) -> dict[str, Any]:
        """Runs a pod to its end; answers what its program printed after RESULT."""
        self.start(name, namespace, arguments, labels)
        kubectl = self.product.kubectl
        try:
            kubectl(
                *("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded"),
                "--timeout=60s",
                namespace=namespace,
            )
            return result(kubectl("logs", name, namespace=namespace))
        finally:
            kubectl("delete", "pod", name, "--wait=false", namespace=namespace)

    def start(
        self, name: str, namespace: str, arguments: Sequence[str], labels: dict[str, str]
    ) -> None:
        """Makes a pod."""
        manifest = self.manifest(name, namespace, arguments, labels)
        self.product.kubectl("apply", "-f", "-", stdin=json.dumps(manifest), namespace=namespace)


def require_local_host(product: Product) -> None:
    """Skips where the test cannot give the node's host addresses to listen on."""
    names = [node.metadata.name for node in product.core.list_node().items]
    if names != [LOCAL_NODE] or os.geteuid() != 0:
        pytest.skip(
            "needs root on the host of the local cluster: it gives addresses to its loopback"
        )


class Listener:
    """A server on an address that the host has for as long as this runs; it counts connections."""

    def __init__(self, address: str, port: int) -> None:
        self.target = f"{address}:{port}"
        self.accepted = 0
        self._server = socket.create_server((address, port), backlog=128)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self.accepted += 1
            client.close()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


@contextmanager
def listening(address: str, port: int) -> Iterator[Listener]:
    """Gives the host an address and listens on it; both are gone afterwards."""
    place = [f"{address}/32", "dev", "lo"]
    subprocess.run(["ip", "address", "replace", *place], check=True)
    try:
        listener = Listener(address, port)
        try:
            yield listener
        finally:
            listener.close()
    finally:
        subprocess.run(["ip", "address", "delete", *place], check=True)
