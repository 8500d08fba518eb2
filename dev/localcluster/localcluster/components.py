"""The cluster's long-running processes: their command lines. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from localcluster.settings import (
    NODE_NAME,
    PROVISIONER_NAME,
    Paths,
    Settings,
)

AUDIT_LOG_MEGABYTES = 100
AUDIT_LOG_FILES = 3


@dataclass(frozen=True)
class Programs:
    """The executables the components are started from."""

    localkube: Path
    coredns: Path
    helm: Path
    pause: Path
    containerd: Path
    netpol_cni: Path


@dataclass(frozen=True)
class Component:
    """One long-running process.

    `inputs` are files whose content belongs to the command: when one changes, the process is
    started anew.
    """

    name: str
    argv: tuple[str, ...]
    inputs: tuple[Path, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


def component_kubeconfig(paths: Paths, user: str) -> Path:
    """Return the path of a component's kubeconfig."""
    return paths.config / f"{user}.kubeconfig"


def all_components(settings: Settings, programs: Programs) -> list[Component]:
    """Return the components in the order in which they are started."""
    return [
        etcd(settings, programs),
        api_server(settings, programs),
        controller_manager(settings, programs),
        scheduler(settings, programs),
        netpol(settings, programs),
        containerd(settings, programs),
        kubelet(settings, programs),
        kube_proxy(settings, programs),
        coredns(settings, programs),
        provisioner(settings, programs),
    ]


def etcd(settings: Settings, programs: Programs) -> Component:
    """Return etcd: TLS with its own CA, no fsync because the cluster is made to be thrown away."""
    pki, ports = settings.paths.pki, settings.ports
    client, peer = (
        f"https://127.0.0.1:{ports.etcd_client}",
        f"https://127.0.0.1:{ports.etcd_peer}",
    )
    return Component(
        "etcd",
        (
            *(str(programs.localkube), "etcd", "--name=localcluster", "--unsafe-no-fsync"),
            f"--data-dir={settings.paths.state / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=localcluster={peer}",
            *("--client-cert-auth=true", "--peer-client-cert-auth=true"),
            *(f"--cert-file={pki / 'etcd.crt'}", f"--key-file={pki / 'etcd.key'}"),
            *(f"--peer-cert-file={pki / 'etcd.crt'}", f"--peer-key-file={pki / 'etcd.key'}"),
            f"--trusted-ca-file={pki / 'etcd-ca.crt'}",
            f"--peer-trusted-ca-file={pki / 'etcd-ca.crt'}",
            # Keeps the store small through days of load tests.
            *("--auto-compaction-mode=periodic", "--auto-compaction-retention=5m"),
            "--quota-backend-bytes=4294967296",
            *("--log-level=warn", "--logger=zap"),
        ),
        (pki / "etcd.crt",),
    )


def api_server(settings: Settings, programs: Programs) -> Component:
    """Return the API server."""
    paths, ports, network = settings.paths, settings.ports, settings.network
    pki = paths.pki
    policy = paths.config / "audit-policy.yaml"
    return Component(
        "kube-apiserver",
        (
            *(str(programs.localkube), "kube-apiserver"),
            f"--etcd-servers=https://127.0.0.1:{ports.etcd_client}",
            f"--etcd-cafile={pki / 'etcd-ca.crt'}",
            f"--etcd-certfile={pki / 'apiserver-etcd-client.crt'}",
            f"--etcd-keyfile={pki / 'apiserver-etcd-client.key'}",
            *("--bind-address=0.0.0.0", f"--secure-port={ports.api_server}"),
            f"--advertise-address={network.node_address}",
            f"--tls-cert-file={pki / 'apiserver.crt'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--service-cluster-ip-range={network.services}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki / 'service-account.pub'}",
            f"--service-account-signing-key-file={pki / 'service-account.key'}",
            *("--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"),
            "--allow-privileged=true",
            # The node's name does not resolve: logs and exec go to its address.
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-certificate-authority={pki / 'ca.crt'}",
            f"--kubelet-client-certificate={pki / 'apiserver-kubelet-client.crt'}",
            f"--kubelet-client-key={pki / 'apiserver-kubelet-client.key'}",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={paths.logs / 'audit.log'}",
            f"--audit-log-maxsize={AUDIT_LOG_MEGABYTES}",
            f"--audit-log-maxbackup={AUDIT_LOG_FILES}",
        ),
        (pki / "apiserver.crt", policy),
    )


def controller_manager(settings: Settings, programs: Programs) -> Component:
    """Return the controller manager, with room for load tests (the defaults are 20 and 30/s)."""
    pki, network = settings.paths.pki, settings.network
    config = component_kubeconfig(settings.paths, "controller-manager")
    return Component(
        "kube-controller-manager",
        (
            *(str(programs.localkube), "kube-controller-manager"),
            *(f"--kubeconfig={config}", "--leader-elect=false"),
            *("--bind-address=127.0.0.1", f"--secure-port={settings.ports.controller_manager}"),
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={pki / 'service-account.key'}",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--cluster-signing-cert-file={pki / 'ca.crt'}",
            f"--cluster-signing-key-file={pki / 'ca.key'}",
            *("--allocate-node-cidrs=true", f"--cluster-cidr={network.pods}"),
            f"--node-cidr-mask-size={network.pods.prefixlen}",
            f"--service-cluster-ip-range={network.services}",
            *("--kube-api-qps=300", "--kube-api-burst=600"),
        ),
        (config,),
    )


def scheduler(settings: Settings, programs: Programs) -> Component:
    """Return the scheduler."""
    config = component_kubeconfig(settings.paths, "scheduler")
    return Component(
        "kube-scheduler",
        (
            *(str(programs.localkube), "kube-scheduler"),
            *(f"--kubeconfig={config}", "--leader-elect=false"),
            *("--bind-address=127.0.0.1", f"--secure-port={settings.ports.scheduler}"),
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            *("--kube-api-qps=300", "--kube-api-burst=600"),
        ),
        (config,),
    )


def netpol(settings: Settings, programs: Programs) -> Component:
    """Return the network policy controller. It comes before the node: no pod without rules."""
    config = component_kubeconfig(settings.paths, "netpol")
    return Component(
        "netpol",
        (
            *(str(programs.localkube), "netpol", f"--kubeconfig={config}"),
            f"--state-dir={settings.paths.netpol}",
            f"--table={settings.network.netpol_table}",
            f"--health-address=127.0.0.1:{settings.ports.netpol_health}",
        ),
        (config,),
    )


def containerd(settings: Settings, programs: Programs) -> Component:
    """Return the cluster's own containerd."""
    config = settings.paths.config / "containerd.toml"
    return Component(
        "containerd",
        (str(programs.containerd), "--config", str(config), "--log-level", "warn"),
        (config,),
    )


def kubelet(settings: Settings, programs: Programs) -> Component:
    """Return the kubelet."""
    paths = settings.paths
    config, credentials = paths.config / "kubelet.yaml", component_kubeconfig(paths, "kubelet")
    return Component(
        "kubelet",
        (
            *(str(programs.localkube), "kubelet"),
            *(f"--config={config}", f"--kubeconfig={credentials}"),
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={settings.network.node_address}",
            f"--root-dir={paths.state / 'kubelet'}",
            f"--cert-dir={paths.state / 'kubelet' / 'pki'}",
        ),
        (config, credentials),
    )


def kube_proxy(settings: Settings, programs: Programs) -> Component:
    """Return kube-proxy."""
    config = settings.paths.config / "kube-proxy.yaml"
    return Component(
        "kube-proxy",
        (
            *(str(programs.localkube), "kube-proxy"),
            *(f"--config={config}", f"--hostname-override={NODE_NAME}"),
        ),
        (config, component_kubeconfig(settings.paths, "proxy")),
    )


def coredns(settings: Settings, programs: Programs) -> Component:
    """Return CoreDNS, a process of the host: there is no image of it to be had."""
    config = settings.paths.config / "Corefile"
    return Component(
        "coredns",
        (str(programs.coredns), "-conf", str(config)),
        (config, component_kubeconfig(settings.paths, "coredns")),
    )


def provisioner(settings: Settings, programs: Programs) -> Component:
    """Return the provisioner of StorageClass `local`."""
    config = component_kubeconfig(settings.paths, "provisioner")
    return Component(
        "provisioner",
        (
            *(str(programs.localkube), "provisioner", f"--kubeconfig={config}"),
            f"--volumes-dir={settings.paths.state / 'volumes'}",
            *(f"--node-name={NODE_NAME}", f"--provisioner-name={PROVISIONER_NAME}"),
        ),
        (config,),
    )
