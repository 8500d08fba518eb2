"""What `helm test` says of a release whose agents are sealed, and of one whose are not."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from agentsession_testing.cluster import Product


def helm(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["helm", *arguments], input=stdin, capture_output=True, text=True, check=False
    )


def test_helm_test_finds_the_release_sealed(product: Product) -> None:
    names = product.names
    done = helm("test", names.release, "-n", names.namespace, "--timeout=3m")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Agents are sealed: the NetworkPolicies are enforced." in said
    for what in ("another pod of this namespace", "the API server", "Redis", "the model server"):
        assert f"sealed   {what}" in said
    left = product.kubectl("get", "pods,services,deployments", "-o", "name")
    assert "network-test" not in left


@pytest.fixture
def another_release(product: Product) -> Iterator[tuple[str, str, str]]:
    """A second installation: its release, its namespace, its sessions' namespace."""
    names, suffix = product.names, f"-unsealed-{uuid.uuid4().hex[:4]}"
    release, system = names.release + suffix, names.namespace + suffix
    sessions = names.sessions_namespace + suffix
    values = json.loads(
        helm("get", "values", names.release, "-n", names.namespace, "-o", "json").stdout
    )
    values["sessions"] = {"namespaces": [sessions], "createNamespaces": True}
    done = helm(
        *("install", release, "charts/agentsession", "-n", system, "--create-namespace"),
        *("--skip-crds", "--wait", "--timeout=3m", "--values=-"),
        stdin=json.dumps(values),
    )
    assert done.returncode == 0, done.stderr
    yield release, system, sessions
    helm("uninstall", release, "-n", system)
    product.kubectl("delete", "namespace", system, sessions, "--wait=false")


def test_helm_test_says_when_nothing_is_enforced(
    product: Product, another_release: tuple[str, str, str]
) -> None:
    release, system, sessions = another_release
    for namespace in (system, sessions):
        product.kubectl("delete", "networkpolicies", "--all", namespace=namespace)
    done = helm("test", release, "-n", system, "--timeout=3m")
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "REACHED  Redis" in said
    assert f"NOT SEALED: agents in {sessions} reach everything that was tried." in said
    assert "the cluster's network plugin enforces no NetworkPolicy" in said
    assert "Calico, Cilium" in said
