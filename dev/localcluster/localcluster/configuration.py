"""Writing the components' configuration files."""

from __future__ import annotations

import json
from pathlib import Path

from localcluster import network, rendering
from localcluster.components import component_kubeconfig
from localcluster.pki import kubeconfig
from localcluster.settings import Settings

COMPONENT_USERS = (
    *("controller-manager", "scheduler", "kubelet", "proxy", "coredns", "provisioner", "netpol"),
)


def write_configuration(settings: Settings) -> None:
    """Write all configuration files and kubeconfigs; unchanged ones are not touched."""
    paths = settings.paths
    device = network.default_device(network.current_routes())
    files = {
        paths.config / "kubelet.yaml": rendering.kubelet_config(settings),
        paths.config / "kube-proxy.yaml": rendering.proxy_config(
            settings, component_kubeconfig(paths, "proxy")
        ),
        paths.config / "containerd.toml": rendering.containerd_config(settings),
        paths.config / "cni" / "10-local.conflist": rendering.cni_config(
            settings, network.pod_mtu(device)
        ),
        paths.config / "Corefile": rendering.corefile(
            settings, component_kubeconfig(paths, "coredns")
        ),
        paths.config / "audit-policy.yaml": rendering.audit_policy(),
        paths.kubeconfig: json.dumps(kubeconfig(settings, "admin"), indent=2),
    }
    for user in COMPONENT_USERS:
        files[component_kubeconfig(paths, user)] = json.dumps(kubeconfig(settings, user))
    for path, content in files.items():
        _write_if_changed(path, content)


def _write_if_changed(path: Path, content: str) -> None:
    if path.exists() and path.read_text() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(content)
