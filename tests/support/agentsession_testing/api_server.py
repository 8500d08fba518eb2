"""A real API server of a test's own: etcd and kube-apiserver from the local cluster's program.

No node runs and no controller: what is created stays as it is. Crashes, older CRDs and refusals can
be tried without touching the cluster that the other tests share.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from agentsession_testing.kubeconfig import write_kubeconfig
from agentsession_testing.serving import free_port

Body = dict[str, Any]
CRDS = Path(__file__).resolve().parents[3] / "crds"
ADMIN_TOKEN = "admin-of-this-test"
# Seen to take more than a minute on a machine that does much else.
START_SECONDS = 180.0
PATIENCE_SECONDS = 20.0
# Watches go to etcd itself, so that one that begins again behind a compaction is told 410.
WATCHES_FROM_ETCD = "--watch-cache=false"
APPLY = "application/apply-patch+yaml"


class _Patient(httpx.HTTPTransport):
    """Asks again when it is told to, as every client of Kubernetes does: a kind that is new says so."""

    def __init__(self) -> None:
        super().__init__(verify=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            response = super().handle_request(request)
            pause = response.headers.get("retry-after")
            if response.status_code != 429 or pause is None or time.monotonic() >= deadline:
                return response
            response.close()
            time.sleep(float(pause))


@dataclass
class ApiServer:
    """A running API server and its etcd. `arguments` are further ones of the API server."""

    folder: Path
    program: str
    port: int = field(default_factory=free_port)
    etcd_port: int = field(default_factory=free_port)
    etcd_peer_port: int = field(default_factory=free_port)
    arguments: tuple[str, ...] = ()
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig of an administrator."""
        return write_kubeconfig(self.folder / "kubeconfig", self.url, ADMIN_TOKEN)

    def client(self) -> httpx.Client:
        """An administrator's HTTP client."""
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        return httpx.Client(base_url=self.url, headers=headers, transport=_Patient(), timeout=20)

    def start(self) -> None:
        """Starts both and waits until the API server is ready."""
        self._start_etcd()
        self.start_api_server()

    def install(self, *namespaces: str) -> None:
        """Makes our kinds known, and makes the namespaces."""
        for definition in sorted(CRDS.glob("*.yaml")):
            self.apply(yaml.safe_load(definition.read_text(encoding="utf-8")))
        for name in namespaces:
            self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def start_api_server(self) -> None:
        """Starts the API server over its etcd, again if need be, and waits until it is ready."""
        self._start_api_server()
        self._wait_ready()

    def kill_api_server(self) -> None:
        """Ends the API server at once; its etcd stays."""
        process = self.processes.pop("kube-apiserver")
        process.kill()
        process.wait()

    def compact(self) -> int:
        """Compacts etcd at its newest revision and answers that."""
        key = base64.b64encode(b"/compaction").decode()
        url = f"http://127.0.0.1:{self.etcd_port}/v3/kv"
        with httpx.Client(trust_env=False, timeout=20) as client:
            # A write of its own: a revision can be compacted only once.
            newest = client.post(f"{url}/put", json={"key": key, "value": key}).json()
            revision = int(newest["header"]["revision"])
            body = {"revision": revision, "physical": True}
            client.post(f"{url}/compaction", json=body).raise_for_status()
        return revision

    def stop(self) -> None:
        """Ends both at once."""
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.processes.clear()

    def _start_etcd(self) -> None:
        client, peer = (
            f"http://127.0.0.1:{self.etcd_port}",
            f"http://127.0.0.1:{self.etcd_peer_port}",
        )
        self._run(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--log-level=error",
        )

    def _start_api_server(self) -> None:
        key_file = self._signing_key()
        tokens = self.folder / "tokens.csv"
        tokens.write_text(f"{ADMIN_TOKEN},admin,admin,system:masters\n", encoding="utf-8")
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            f"--secure-port={self.port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self.folder / 'certificates'}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key_file}",
            f"--service-account-signing-key-file={key_file}",
            "--service-cluster-ip-range=10.221.0.0/24",
            # Made by controllers that do not run here.
            "--disable-admission-plugins=ServiceAccount",
            *self.arguments,
        )

    def _signing_key(self) -> Path:
        """The key of the service accounts' tokens, which outlive a restart."""
        key_file = self.folder / "service-account.key"
        if not key_file.exists():
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            key_file.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.TraditionalOpenSSL,
                    serialization.NoEncryption(),
                )
            )
        return key_file

    def _run(self, component: str, *arguments: str) -> None:
        with (self.folder / f"{component}.log").open("ab") as log:
            self.processes[component] = subprocess.Popen(
                [self.program, component, *arguments], stdout=log, stderr=log
            )

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with self.client() as client:
            while time.monotonic() < deadline:
                try:
                    if client.get("/readyz").status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                ended = [name for name, process in self.processes.items() if process.poll()]
                assert not ended, self._logs(ended[0])
                # There is nothing to wait on before it listens.
                time.sleep(0.1)
        raise AssertionError(
            f"no API server within {START_SECONDS:.0f} s\n{self._logs('kube-apiserver')}"
        )

    def _logs(self, component: str) -> str:
        return (self.folder / f"{component}.log").read_text(errors="replace")[-4000:]

    def apply(self, manifest: Body) -> Body:
        """Server-side apply; answers the object."""
        with self.client() as client:
            answer = client.patch(
                _path(manifest),
                params={"fieldManager": "test", "force": "true"},
                headers={"content-type": APPLY},
                content=json.dumps(manifest),
            )
            assert answer.is_success, answer.text
            body: Body = answer.json()
            return body

    def put(self, path: str, body: Body) -> Body:
        """Replaces an object."""
        with self.client() as client:
            answer = client.put(path, json=body)
            assert answer.is_success, answer.text
            replaced: Body = answer.json()
            return replaced

    def may(self, token: str, namespace: str, verb: str, group: str, resource: str) -> bool:
        """Whether the token's holder may do this there; a subresource follows a slash."""
        name, _, part = resource.partition("/")
        wanted = {"verb": verb, "group": group, "resource": name, "subresource": part}
        review = {"spec": {"resourceAttributes": wanted | {"namespace": namespace}}}
        with self.client() as client:
            answer = client.post(
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                json=review,
                headers={"authorization": f"Bearer {token}"},
            ).raise_for_status()
        allowed: bool = answer.json()["status"]["allowed"]
        return allowed

    def get(self, path: str) -> Body:
        """An object or a list."""
        with self.client() as client:
            answer = client.get(path)
            assert answer.is_success, answer.text
            body: Body = answer.json()
            return body


_PLURALS = {
    "Job": "jobs",
    "Pod": "pods",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "ServiceAccount": "serviceaccounts",
    "CustomResourceDefinition": "customresourcedefinitions",
    "Namespace": "namespaces",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "AgentSession": "agentsessions",
    "AgentSessionTemplate": "agentsessiontemplates",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    "ConfigMap": "configmaps",
}


def _path(manifest: Body) -> str:
    group = manifest["apiVersion"]
    root = f"/apis/{group}" if "/" in group else f"/api/{group}"
    namespace = manifest["metadata"].get("namespace")
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{place}/{_PLURALS[manifest['kind']]}/{manifest['metadata']['name']}"


def cluster_program() -> str:
    """The local cluster's program, in which the whole control plane is; skips where it is not."""
    program = os.environ.get("LOCALKUBE_BINARY")
    if not program:
        pytest.skip("LOCALKUBE_BINARY is not set: make test sets it where the local cluster is")
    return program


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[ApiServer]:
    """An API server in a folder of its own, with further arguments.

    Skips where its program is not to be had.
    """
    server = ApiServer(folder, cluster_program(), arguments=arguments)
    try:
        server.start()
        yield server
    finally:
        server.stop()
