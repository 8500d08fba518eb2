"""The orchestrator with the rights that the chart gives it, and no others, before a real API server.

Whose run a pod is it finds by the token that the operator's own Job gives to the pod.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentsession_core import naming
from agentsession_core.api import AgentSession, AgentSessionTemplateSpec, LaunchType
from agentsession_core.effective import merge
from agentsession_core.mailbox.store import MailboxStore
from agentsession_operator.builders.job import build_job
from agentsession_operator.builders.services import Services
from agentsession_testing.api_server import ApiServer, running
from agentsession_testing.chart import KEY, find_helm
from agentsession_testing.kubeconfig import write_kubeconfig
from agentsession_testing.operator_worlds import IMAGES
from agentsession_testing.orchestrator import problem
from agentsession_testing.orchestrator_process import Installation
from agentsession_testing.serving import until
from agentsession_testing.valkey import Valkey

SYSTEM, AGENTS, ACCOUNT = "agentsession-system", "agents", "agentsession-orchestrator"
SERVICES = Services("http://gateway:8080", "http://orchestrator:8080")
KINDS = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
START_SECONDS = 90


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    folder = tmp_path_factory.mktemp("api-server")
    with running(folder) as server:
        server.install(AGENTS, SYSTEM)
        for item in find_helm(folder).objects(KEY):
            if item["kind"] in KINDS:
                server.apply(item)
        yield server


def asked_token(server: ApiServer, namespace: str, account: str, spec: dict[str, Any]) -> str:
    with server.client() as client:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        answer = client.post(path, json={"spec": spec}).raise_for_status()
    found: str = answer.json()["status"]["token"]
    return found


@pytest.fixture
def own_token(api_server: ApiServer) -> str:
    """A token of the orchestrator's ServiceAccount, bound as the chart binds it."""
    return asked_token(api_server, SYSTEM, ACCOUNT, {})


@dataclass(frozen=True)
class RunPod:
    """A run's pod, and its tokens by audience: those that the operator's Job mounts, and no other."""

    session_uid: str
    name: str
    uid: str
    tokens: dict[str, str]


def make_run(server: ApiServer, user: str) -> RunPod:
    session = server.apply(
        {
            "apiVersion": naming.API_VERSION,
            "kind": naming.SESSION_KIND,
            "metadata": {"name": user, "namespace": AGENTS},
            "spec": {"user": {"id": user}},
        }
    )
    read = AgentSession.from_api(session)
    effective = merge(read.spec, None, AgentSessionTemplateSpec(), IMAGES)
    job = server.apply(build_job(read, effective, 1, SERVICES))
    template, name = job["spec"]["template"], f"{user}-r1-abcde"
    owner = {
        **{"apiVersion": "batch/v1", "kind": "Job", "controller": True},
        **{key: job["metadata"][key] for key in ("name", "uid")},
    }
    metadata = {"name": name, "namespace": AGENTS, "ownerReferences": [owner]}
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    uid = server.apply(made)["metadata"]["uid"]
    bound = {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid}
    sources = [
        source["serviceAccountToken"]
        for volume in template["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
    ]
    account = template["spec"]["serviceAccountName"]
    tokens = {
        source["audience"]: asked_token(
            server, AGENTS, account, {"audiences": [source["audience"]], "boundObjectRef": bound}
        )
        for source in sources
    }
    return RunPod(session["metadata"]["uid"], name, uid, tokens)


async def test_the_charts_rights_are_enough_to_know_a_run(
    api_server: ApiServer, own_token: str, store: MailboxStore, valkey: Valkey, tmp_path: Path
) -> None:
    pod = make_run(api_server, "ada")
    run = naming.run_id(pod.session_uid, 1)
    await store.begin_run(
        "ada", run=run, expected="", session_uid=pod.session_uid, launch=LaunchType.COLD
    )
    await store.hello("ada", run=run, pod_uid=pod.uid, pod=pod.name)
    installation = Installation.new(tmp_path, f"sqlite:///{tmp_path}/o.db", valkey.url)
    kubeconfig = write_kubeconfig(tmp_path / "own.kubeconfig", api_server.url, own_token)
    assert set(pod.tokens) == {naming.AUDIENCE_GATEWAY, naming.AUDIENCE_ORCHESTRATOR}
    async with installation.serving(kubeconfig=kubeconfig) as server:
        await until(server.ready, "the orchestrator is ready", START_SECONDS)
        async with server.client(pod.tokens[naming.AUDIENCE_ORCHESTRATOR]) as agent:
            who = await agent.get("/v1/tokens/self")
            assert who.status_code == 200, who.text
            assert (who.json()["user_id"], who.json()["kind"]) == ("ada", "run")
            forged = await agent.get("/v1/projects", headers={"orchestrator-user": "bob"})
            assert problem(forged) == (403, "user_mismatch")
        async with server.client(pod.tokens[naming.AUDIENCE_GATEWAY]) as other:
            assert problem(await other.get("/v1/projects")) == (401, "token_invalid")
        assert await server.stop() == 0


@pytest.mark.parametrize(
    ("verb", "group", "resource"),
    [
        *(("get", "", "secrets"), ("get", "", "configmaps"), ("get", "", "pods/log")),
        *(("list", "", "pods"), ("create", "", "pods"), ("create", "", "pods/exec")),
        *(("create", "", "serviceaccounts/token"), ("create", "batch", "jobs")),
        *(
            ("list", "agentsession.dev", "agentsessions"),
            ("patch", "agentsession.dev", "agentsessions"),
        ),
        ("delete", "agentsession.dev", "agentsessions"),
        ("list", "agentsession.dev", "agentsessiontemplates"),
        ("patch", "agentsession.dev", "agentsessiontemplates"),
    ],
)
@pytest.mark.parametrize("namespace", [AGENTS, SYSTEM])
def test_what_it_does_not_need_it_may_not(
    api_server: ApiServer, own_token: str, verb: str, group: str, resource: str, namespace: str
) -> None:
    assert api_server.may(own_token, namespace, verb, group, resource) is False
