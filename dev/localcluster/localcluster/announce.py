"""What `up` says before it changes anything."""

from __future__ import annotations

from localcluster.build import build_targets, cached_program
from localcluster.packages import missing_packages
from localcluster.record import read_record
from localcluster.settings import Settings


def announcement(settings: Settings) -> list[str]:
    """Return what the machine gets that it does not have; nothing when a cluster is there."""
    if read_record(settings.paths) is not None:
        return []
    paths, network = settings.paths, settings.network
    packages = missing_packages()
    to_build = [
        target.title for target in build_targets() if not cached_program(paths, target).exists()
    ]
    lines = ["a Kubernetes cluster for development; on this machine it will"]
    if packages:
        lines.append(f"  - install Debian packages, services kept off: {', '.join(packages)}")
    if to_build:
        lines.append(f"  - build with Go and keep in {paths.cache}: {', '.join(to_build)}")
    return [
        *lines,
        f"  - keep data in {paths.state}, sockets in {paths.run}",
        f"  - make interface {network.interface} ({network.node_address}), pods' interfaces in "
        f"{network.pods}, Services in {network.services}",
        f"  - make nftables tables {network.nft_table} and kube-proxy, and a control group",
        "  - set net.ipv4.ip_forward and the kernel parameters that the kubelet sets",
        "  `make cluster-down` takes all of it back but the packages and the built programs",
    ]
