"""Configuration files of the components, rendered from the settings. No I/O."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from localcluster.settings import (
    CLUSTER_DOMAIN,
    MAX_PODS,
    NETPOL_PLUGIN,
    PAUSE_IMAGE,
    Settings,
)

CGROUP_NAME = "agentsession-localcluster"
CGROUP_ROOT = f"/{CGROUP_NAME}"

KUBELET_LIMITS: dict[str, object] = {
    # Images cannot be pulled again: they must neither be collected nor, on a nearly
    # full disk, be the reason to evict pods.
    "imageGCHighThresholdPercent": 100,
    "evictionHard": {
        "nodefs.available": "1%",
        "imagefs.available": "1%",
        "memory.available": "100Mi",
    },
    "kubeAPIQPS": 200,
    "kubeAPIBurst": 400,
    "eventRecordQPS": 100,
    "eventBurst": 200,
}


def kubelet_config(settings: Settings) -> str:
    """Return the KubeletConfiguration."""
    paths, ports = settings.paths, settings.ports
    return _yaml(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": str(settings.network.node_address),
            "port": ports.kubelet,
            "readOnlyPort": 0,
            "healthzBindAddress": "127.0.0.1",
            "healthzPort": ports.kubelet_health,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(paths.pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(paths.pki / "kubelet-server.crt"),
            "tlsPrivateKeyFile": str(paths.pki / "kubelet-server.key"),
            "rotateCertificates": False,
        }
        | _kubelet_node(settings)
        | KUBELET_LIMITS
    )


def _kubelet_node(settings: Settings) -> dict[str, object]:
    paths = settings.paths
    return {
        "containerRuntimeEndpoint": f"unix://{paths.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": CGROUP_ROOT,
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDomain": CLUSTER_DOMAIN,
        "clusterDNS": [str(settings.network.dns_service)],
        "maxPods": MAX_PODS,
        "podLogsDir": str(paths.state / "pod-logs"),
        "volumePluginDir": str(paths.state / "kubelet" / "volume-plugins"),
        "serializeImagePulls": False,
        # kube-proxy works with nftables; the kubelet's iptables chains would only stay behind.
        "makeIPTablesUtilChains": False,
    }


def proxy_config(settings: Settings, kubeconfig: Path) -> str:
    """Return the KubeProxyConfiguration."""
    return _yaml(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": str(settings.network.pods),
            "clientConnection": {"kubeconfig": str(kubeconfig), "qps": 100, "burst": 200},
            "healthzBindAddress": f"127.0.0.1:{settings.ports.kube_proxy_health}",
            "metricsBindAddress": f"127.0.0.1:{settings.ports.kube_proxy_metrics}",
            # 0 leaves the host's own conntrack limits alone.
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        }
    )


def containerd_config(settings: Settings) -> str:
    """Return the configuration of the cluster's own containerd (version 2, read by 1.x and 2.x).

    `restrict_oom_score_adj`: without CAP_SYS_RESOURCE, as in many virtual machines, every
    sandbox would die at its start. `netns_mounts_under_state_dir`: keeps pods apart from
    `ip netns`, which hides running pods' namespaces when it first mounts /run/netns.
    """
    paths = settings.paths
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{paths.state / "containerd"}"
state = "{paths.run / "containerd"}"
[grpc]
  address = "{paths.containerd_socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{paths.state / "containerd-opt"}"
[{cri}]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [{cri}.cni]
    bin_dir = "{paths.cni_plugins}"
    conf_dir = "{paths.config / "cni"}"
  [{cri}.containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [{cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [{cri}.containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def cni_config(settings: Settings, mtu: int) -> str:
    """Return the CNI configuration.

    ptp and not bridge: pods are routed, so every packet between them passes the host's
    forward hook even where br_netfilter is not loaded. Then our own plugin, which makes the new
    address subject to the network policies of its namespace before anything runs in the pod.
    """
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": str(settings.network.pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(settings.paths.state / "cni-addresses"),
    }
    ptp = {"type": "ptp", "ipMasq": False, "mtu": mtu, "ipam": ipam}
    netpol = {
        "type": NETPOL_PLUGIN,
        "table": settings.network.netpol_table,
        "stateDir": str(settings.paths.netpol),
    }
    document = {"cniVersion": "1.0.0", "name": settings.network.cni_name, "plugins": [ptp, netpol]}
    return json.dumps(document, indent=2) + "\n"


def corefile(settings: Settings, kubeconfig: Path) -> str:
    """Return CoreDNS's configuration: the cluster's zone, all else from the host's resolver."""
    node, ports = settings.network.node_address, settings.ports
    return f"""\
{CLUSTER_DOMAIN}:{ports.dns} in-addr.arpa:{ports.dns} ip6.arpa:{ports.dns} {{
    bind {node}
    errors
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 5
        fallthrough in-addr.arpa ip6.arpa
    }}
    forward . /etc/resolv.conf
    cache 5
}}
.:{ports.dns} {{
    bind {node}
    errors
    ready 127.0.0.1:{ports.dns_ready}
    forward . /etc/resolv.conf
    cache 30
}}
"""


def nft_ruleset(settings: Settings) -> str:
    """Return the cluster's own nftables table, replacing an earlier one.

    Pods reach the world with the host's address. The cluster's ports are open to the host
    itself and to pods only, although the API server listens on every address.
    """
    network = settings.network
    ports = ", ".join(str(port) for port in _ports_to_close(settings))
    return f"""\
table inet {network.nft_table}
delete table inet {network.nft_table}
table inet {network.nft_table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {network.pods} ip daddr != {network.pods} masquerade
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname "lo" accept
    ip saddr {network.pods} accept
    tcp dport {{ {ports} }} drop
  }}
}}
"""


def audit_policy() -> str:
    """Return the API server's audit policy: who did what to which object, no contents."""
    return _yaml(
        {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata"}],
        }
    )


def _ports_to_close(settings: Settings) -> Sequence[int]:
    return sorted({item.port for item in settings.listeners() if item.address == "0.0.0.0"})


def _yaml(document: dict[str, object]) -> str:
    return yaml.safe_dump(document, sort_keys=False)
