"""CRDs that are older or newer than the operator: its whole process against a real API server."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis.asyncio import Redis

from agentsession_testing.api_server import ApiServer, running
from agentsession_testing.operator_process import (
    NAMESPACE,
    START_SECONDS,
    OperatorProcess,
    operator_settings,
    running_operator,
)
from agentsession_testing.serving import until
from agentsession_testing.valkey import Valkey

CRDS = Path(__file__).resolve().parents[2] / "crds"
OPENAPI = "/openapi/v3/apis/agentsession.dev/v1alpha1"
SESSIONS = f"/apis/agentsession.dev/v1alpha1/namespaces/{NAMESPACE}/agentsessions"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("api-server")) as server:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        server.apply(namespace)
        yield server


def definition(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CRDS / name).read_text())
    return loaded


def properties(crd: dict[str, Any], *path: str) -> dict[str, Any]:
    node = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in path:
        node = node["properties"][name]
    found: dict[str, Any] = node["properties"]
    return found


async def install(server: ApiServer, sessions: dict[str, Any]) -> None:
    """Applies both CRDs and waits until they are served as they are."""
    server.apply(definition("agentsessiontemplates.yaml"))
    server.apply(copy.deepcopy(sessions))

    async def served() -> bool:
        with server.client() as client:
            answer = client.get(OPENAPI)
        if not answer.is_success:
            return False
        schemas = answer.json().get("components", {}).get("schemas", {})
        found = [schema for name, schema in schemas.items() if name.endswith(".AgentSession")]
        return bool(found) and all(
            set(found[0]["properties"][part]["properties"]) == set(properties(sessions, part))
            for part in ("spec", "status")
        )

    await until(served, "the API server serves the CRD as it is", START_SECONDS)


def operator(
    server: ApiServer, valkey: Valkey, folder: Path
) -> AbstractAsyncContextManager[OperatorProcess]:
    environment = {"KUBECONFIG": str(server.kubeconfig)}
    return running_operator(folder, operator_settings(valkey.url), environment)


def session(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "agentsession.dev/v1alpha1",
        "kind": "AgentSession",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"user": {"id": name}, **spec},
    }


async def test_older_crds_are_named_and_waited_for(
    api_server: ApiServer, valkey: Valkey, redis_client: Redis, tmp_path: Path
) -> None:
    older = definition("agentsessions.yaml")
    del properties(older, "spec")["operatingMode"]
    del properties(older, "status", "usage")["costUSD"]
    await install(api_server, older)
    async with operator(api_server, valkey, tmp_path) as process:

        async def refuses() -> bool:
            status, text = await process.readiness()
            return status == 503 and "AgentSession.spec.operatingMode" in text

        await until(refuses, "the operator names what the CRDs lack", START_SECONDS)
        _, text = await process.readiness()
        assert "AgentSession.status.usage.costUSD" in text
        assert "kubectl apply --server-side -f crds/" in text

        await install(api_server, definition("agentsessions.yaml"))
        await process.ready()


async def test_newer_crds_are_served_and_their_fields_left_alone(
    api_server: ApiServer, valkey: Valkey, redis_client: Redis, tmp_path: Path
) -> None:
    newer = definition("agentsessions.yaml")
    properties(newer, "spec")["mood"] = {"type": "string"}
    properties(newer, "status")["mood"] = {"type": "string"}
    await install(api_server, newer)
    async with operator(api_server, valkey, tmp_path) as process:
        await process.ready()
        api_server.apply(session("newer", prompt="hello", mood="cheerful"))
        written = api_server.get(f"{SESSIONS}/newer")
        status = {**written.get("status", {}), "mood": "sunny"}
        with api_server.client() as client:
            client.patch(
                f"{SESSIONS}/newer/status",
                headers={"content-type": "application/merge-patch+json"},
                content=json.dumps({"status": {"mood": status["mood"]}}),
            ).raise_for_status()

        async def started() -> bool:
            seen = api_server.get(f"{SESSIONS}/newer")
            jobs = [job["metadata"]["name"] for job in api_server.get(JOBS)["items"]]
            return "newer-r1" in jobs and seen.get("status", {}).get("runs") == 1

        await until(started, "the session's run has been started", START_SECONDS)
        seen = api_server.get(f"{SESSIONS}/newer")
        assert seen["spec"]["mood"] == "cheerful"
        assert seen["status"]["mood"] == "sunny"
        assert seen["status"]["jobName"] == "newer-r1"
