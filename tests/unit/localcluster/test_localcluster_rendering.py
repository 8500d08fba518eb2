"""Rendered configuration files."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from localcluster import rendering
from localcluster.addons import manifests
from localcluster.settings import PAUSE_IMAGE, Paths, Settings


@pytest.fixture
def settings() -> Settings:
    return Settings(Paths(clone=Path("/clone"), state=Path("/state"), cache=Path("/cache")))


def test_containerd_is_apart_from_the_machines_own(settings: Settings) -> None:
    config = tomllib.loads(rendering.containerd_config(settings))
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]

    assert config["root"] == "/state/containerd"
    assert config["state"] == "/run/agentsession-localcluster/containerd"
    assert config["grpc"]["address"] == f"{config['state']}/containerd.sock"
    assert cri["cni"] == {"bin_dir": "/state/cni-plugins", "conf_dir": "/state/config/cni"}
    assert cri["sandbox_image"] == PAUSE_IMAGE
    assert cri["restrict_oom_score_adj"] is True
    assert cri["netns_mounts_under_state_dir"] is True
    assert cri["containerd"]["runtimes"]["runc"]["options"] == {"SystemdCgroup": False}


def test_kubelet_uses_the_clusters_own_folders_and_group(settings: Settings) -> None:
    config = yaml.safe_load(rendering.kubelet_config(settings))

    assert config["containerRuntimeEndpoint"].endswith("-localcluster/containerd/containerd.sock")
    assert config["cgroupRoot"] == "/agentsession-localcluster"
    assert config["podLogsDir"] == "/state/pod-logs"
    assert config["maxPods"] == 200
    assert config["clusterDNS"] == ["10.220.0.10"]
    assert config["authentication"]["anonymous"] == {"enabled": False}


def test_kube_proxy_leaves_the_hosts_connection_limits_alone(settings: Settings) -> None:
    config = yaml.safe_load(rendering.proxy_config(settings, Path("/k")))

    assert config["mode"] == "nftables"
    assert config["conntrack"]["maxPerCore"] == 0
    assert config["conntrack"]["min"] == 0


def test_pods_are_routed_and_not_bridged(settings: Settings) -> None:
    config = json.loads(rendering.cni_config(settings, mtu=1400))
    ptp, netpol = config["plugins"]

    assert ptp["type"] == "ptp"
    assert ptp["mtu"] == 1400
    assert ptp["ipam"]["dataDir"] == "/state/cni-addresses"
    # After ptp, which gives the address that it seals.
    assert netpol == {
        "type": "netpol-cni",
        "table": "agentsession_netpol",
        "stateDir": "/run/agentsession-localcluster/netpol",
    }


def test_dns_is_bound_to_the_nodes_address_only(settings: Settings) -> None:
    corefile = rendering.corefile(settings, Path("/k"))

    assert corefile.count("bind 10.218.0.1\n") == 2
    assert "kubeconfig /k" in corefile


def test_ruleset_replaces_only_the_clusters_own_table(settings: Settings) -> None:
    ruleset = rendering.nft_ruleset(settings)
    named = set(re.findall(r"table inet (\S+)", ruleset))

    assert named == {"agentsession_localcluster"}
    assert "flush ruleset" not in ruleset
    assert "ip saddr 10.219.0.0/22 ip daddr != 10.219.0.0/22 masquerade" in ruleset


def test_ports_open_on_every_address_are_closed_to_other_machines(settings: Settings) -> None:
    assert "tcp dport { 16443 } drop" in rendering.nft_ruleset(settings)


def test_storage_class_is_the_default_and_binds_at_once(settings: Settings) -> None:
    (storage_class,) = (item for item in manifests(settings) if item["kind"] == "StorageClass")

    annotation = "storageclass.kubernetes.io/is-default-class"
    assert storage_class["metadata"]["annotations"] == {annotation: "true"}
    assert storage_class["volumeBindingMode"] == "Immediate"
    assert storage_class["reclaimPolicy"] == "Delete"


def test_dns_service_leads_to_the_node(settings: Settings) -> None:
    (service,) = (item for item in manifests(settings) if item["kind"] == "Service")
    (endpoints,) = (item for item in manifests(settings) if item["kind"] == "EndpointSlice")

    assert service["spec"]["clusterIP"] == "10.220.0.10"
    assert "selector" not in service["spec"]
    assert endpoints["endpoints"][0]["addresses"] == ["10.218.0.1"]
    labels = endpoints["metadata"]["labels"]
    assert labels["kubernetes.io/service-name"] == service["metadata"]["name"]
