"""An operator that may not do what it must: it says which right is missing, and goes on once it has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from agentsession_operator.rights import NEEDED
from agentsession_testing.api_server import ApiServer, running
from agentsession_testing.kubeconfig import write_kubeconfig
from agentsession_testing.operator_process import (
    NAMESPACE,
    operator_settings,
    running_operator,
)
from agentsession_testing.serving import until
from agentsession_testing.valkey import Valkey

RBAC = "rbac.authorization.k8s.io"
ROLES = f"/apis/{RBAC}/v1/namespaces/{NAMESPACE}"
ACCOUNTS = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
ACCOUNT = "operator"
SECONDS = 90.0


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("api-server")) as server:
        server.install(NAMESPACE)
        yield server


def role(*without: tuple[str, str]) -> dict[str, Any]:
    """A Role with what the operator needs, but for some verbs of some resources."""
    rules = [
        {
            "apiGroups": [group],
            "resources": [resource],
            "verbs": [verb for verb in verbs if (verb, resource) not in without],
        }
        for group, resource, verbs in NEEDED
    ]
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "Role",
        "metadata": {"name": ACCOUNT, "namespace": NAMESPACE},
        "rules": [rule for rule in rules if rule["verbs"]],
    }


def bound_account(server: ApiServer) -> str:
    """A ServiceAccount with that Role; answers a token of it."""
    binding = {
        "metadata": {"name": ACCOUNT, "namespace": NAMESPACE},
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }
    with server.client() as client:
        client.post(ACCOUNTS, json={"metadata": {"name": ACCOUNT}}).raise_for_status()
        client.post(f"{ROLES}/rolebindings", json=binding).raise_for_status()
        request = client.post(f"{ACCOUNTS}/{ACCOUNT}/token", json={"spec": {}})
    token: str = request.raise_for_status().json()["status"]["token"]
    return token


async def test_a_missing_right_is_named_and_waited_for(
    api_server: ApiServer, valkey: Valkey, redis_client: Redis, tmp_path: Path
) -> None:
    with api_server.client() as client:
        lacking = role(("create", "jobs"), ("list", "pods"))
        client.post(f"{ROLES}/roles", json=lacking).raise_for_status()
    kubeconfig = write_kubeconfig(
        tmp_path / "kubeconfig", api_server.url, bound_account(api_server)
    )
    environment = {"KUBECONFIG": str(kubeconfig)}
    settings = operator_settings(valkey.url)
    async with running_operator(tmp_path, settings, environment) as operator:

        async def refuses() -> bool:
            status, text = await operator.readiness()
            return status == 503 and "lacks the right" in text

        await until(refuses, "the operator says what it may not", SECONDS)
        _, text = await operator.readiness()
        assert f"to create jobs.batch, list pods in namespace {NAMESPACE}" in text
        assert "helm upgrade" in text

        api_server.put(f"{ROLES}/roles/{ACCOUNT}", role())
        # Nothing but the needed rights: whatever else it did would be refused.
        await operator.ready()
        session = {
            "apiVersion": "agentsession.dev/v1alpha1",
            "kind": "AgentSession",
            "metadata": {"name": "allowed", "namespace": NAMESPACE},
            "spec": {"user": {"id": "allowed"}, "prompt": "hello"},
        }
        api_server.apply(session)

        def runs() -> bool:
            seen = api_server.get(
                f"/apis/agentsession.dev/v1alpha1/namespaces/{NAMESPACE}/agentsessions/allowed"
            )
            return bool(seen.get("status", {}).get("jobName") == "allowed-r1")

        await until(runs, "the session has its run", SECONDS)
        assert '"refused"' not in operator.said
