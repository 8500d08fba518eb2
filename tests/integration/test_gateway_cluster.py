"""What the gateway asks an API server, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentsession_core import kube
from agentsession_core.cluster import ClusterUnavailableError, KubernetesCluster, Resource
from agentsession_testing.fake_cluster import review, secret
from agentsession_testing.kube_api import ACCOUNT_TOKEN, KubeApi
from agentsession_testing.kubeconfig import write_kubeconfig
from agentsession_testing.serving import plain_server, serving


@pytest.fixture
def api() -> KubeApi:
    return KubeApi()


@pytest.fixture
async def cluster(
    api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[KubernetesCluster]:
    async with serving(plain_server(api)) as url:
        monkeypatch.setenv(
            "KUBECONFIG", str(write_kubeconfig(tmp_path / "kubeconfig", url, ACCOUNT_TOKEN))
        )
        async with kube.connect("agentsession-test") as client:
            yield KubernetesCluster(client)


async def test_token_review(cluster: KubernetesCluster, api: KubeApi) -> None:
    api.cluster.reviews["t"] = review("pod", "uid")
    assert await cluster.review("t", "agentsession-gateway") == review("pod", "uid")
    assert api.cluster.calls == ["review agentsession-gateway"]
    assert api.requests == [
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", "agentsession-test")
    ]


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        (Resource.POD, "/api/v1/namespaces/agents/pods/x"),
        (Resource.SECRET, "/api/v1/namespaces/agents/secrets/x"),
        (Resource.CONFIG_MAP, "/api/v1/namespaces/agents/configmaps/x"),
        (Resource.JOB, "/apis/batch/v1/namespaces/agents/jobs/x"),
        (Resource.SESSION, "/apis/agentsession.dev/v1alpha1/namespaces/agents/agentsessions/x"),
        (
            Resource.TEMPLATE,
            "/apis/agentsession.dev/v1alpha1/namespaces/agents/agentsessiontemplates/x",
        ),
    ],
)
async def test_reads(
    cluster: KubernetesCluster, api: KubeApi, resource: Resource, path: str
) -> None:
    api.cluster.put(resource, "x", {"metadata": {"name": "x"}, "n": [1, None, {"a": "ä"}]})
    assert await cluster.read(resource, "agents", "x") == {
        "metadata": {"name": "x"},
        "n": [1, None, {"a": "ä"}],
    }
    assert api.requests[0][:2] == ("GET", path)


async def test_absent(cluster: KubernetesCluster) -> None:
    assert await cluster.read(Resource.POD, "agents", "gone") is None


async def test_a_name_is_no_path(cluster: KubernetesCluster, api: KubeApi) -> None:
    api.cluster.put(Resource.SECRET, "x", secret("k"))
    assert await cluster.read(Resource.CONFIG_MAP, "agents", "../secrets/x") is None


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_refusals_name_the_status_and_not_the_body(
    cluster: KubernetesCluster, api: KubeApi, status: int
) -> None:
    api.failing["/api/v1/namespaces/agents/secrets/x"] = status
    with pytest.raises(ClusterUnavailableError) as error:
        await cluster.read(Resource.SECRET, "agents", "x")
    assert str(status) in str(error.value)
    assert "a-secret-value" not in str(error.value)
    assert error.value.__cause__ is None


async def test_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:9", ACCOUNT_TOKEN)
    monkeypatch.setenv("KUBECONFIG", str(config))
    async with kube.connect("agentsession-test") as client:
        with pytest.raises(ClusterUnavailableError):
            await KubernetesCluster(client).ping()


async def test_no_cluster_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(kube.KubeConfigError, match="KUBECONFIG"):
        async with kube.connect("agentsession-test"):
            pass


async def test_a_kubeconfig_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    with pytest.raises(kube.KubeConfigError):
        async with kube.connect("agentsession-test"):
            pass
