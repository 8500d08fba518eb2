"""What on this machine would stand in the cluster's way."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from localcluster import network
from localcluster.errors import ClusterError
from localcluster.procfs import (
    PROC,
    Process,
    all_processes,
    environment_value,
    parse_listeners,
    shares_namespace,
    socket_holder,
)
from localcluster.settings import PROCESS_MARKER, Listener, Settings

WILDCARDS = ("0.0.0.0", "::")
OTHER_CLUSTER = "stop it first, or use CLUSTER=existing with its KUBECONFIG, or CLUSTER=kind"


def require_root_on_linux() -> None:
    """Refuse to start where nothing could work.

    Raises:
        ClusterError: not root, not Linux.
    """
    if sys.platform != "linux":
        raise ClusterError(
            f"the local cluster needs Linux, this is {platform.system()}",
            next_step="use CLUSTER=kind or CLUSTER=existing",
        )
    if os.geteuid() != 0:
        raise ClusterError(
            "the local cluster needs root: it runs containerd and changes the network",
            next_step="run the same command as root, or use CLUSTER=kind or CLUSTER=existing",
        )


def refuse_other_kubelet(settings: Settings) -> None:
    """Refuse to run beside another kubelet: both would use the same device plugin socket.

    kubelets in containers, as kind's nodes have, are no hindrance.

    Raises:
        ClusterError: a kubelet that is not ours runs on this machine.
    """
    for process in all_processes():
        ours = environment_value(process.pid, PROCESS_MARKER) == str(settings.paths.state)
        if is_foreign_node_agent(process, ours=ours) and shares_namespace(process.pid, "mnt"):
            raise ClusterError(
                f"another Kubernetes node agent runs here: {process.name} (pid {process.pid})",
                next_step=OTHER_CLUSTER,
            )


def is_foreign_node_agent(process: Process, *, ours: bool) -> bool:
    """Return whether a process is the kubelet or kube-proxy of another cluster."""
    return not ours and process.name in ("kubelet", "kube-proxy", "k3s-server", "k3s-agent")


def refuse_overlapping_networks(settings: Settings) -> None:
    """Refuse address ranges that the host already uses.

    Raises:
        ClusterError: a route of the host leads into one of them.
    """
    routes = network.current_routes()
    overlapping = network.overlapping_routes(routes, settings.network)
    if overlapping:
        raise ClusterError(
            f"the cluster's addresses are in use on this machine: {', '.join(overlapping)}",
            next_step="change Network in dev/localcluster/localcluster/settings.py",
        )


def refuse_taken_ports(settings: Settings, ours: Iterable[str]) -> None:
    """Refuse ports that another program listens on.

    Args:
        ours: names of components that run already and hold their own ports.

    Raises:
        ClusterError: a port is taken; says by which program.
    """
    running = set(ours)
    needed = [item for item in settings.listeners() if item.component not in running]
    taken = listening_sockets()
    for listener in needed:
        inode = conflicting_socket(listener, taken)
        if inode is not None:
            raise ClusterError(
                f"port {listener.port} of {listener.component} is taken by {_holder(inode)}",
                next_step="stop that program, or change Ports in "
                "dev/localcluster/localcluster/settings.py",
            )


def conflicting_socket(listener: Listener, taken: Mapping[tuple[str, int], int]) -> int | None:
    """Return the inode of a listening socket that a component's own would collide with."""
    for (address, port), inode in taken.items():
        same_address = address == listener.address or address in WILDCARDS
        if port == listener.port and (same_address or listener.address in WILDCARDS):
            return inode
    return None


def listening_sockets(proc: Path = PROC) -> dict[tuple[str, int], int]:
    """Return all listening TCP sockets of the host: address and port -> inode."""
    found: dict[tuple[str, int], int] = {}
    for table in ("tcp", "tcp6"):
        file = proc / "net" / table
        if file.exists():
            found.update(parse_listeners(file.read_text()))
    return found


def _holder(inode: int, find: Callable[[int], Process | None] = socket_holder) -> str:
    process = find(inode)
    return f"{process.name} (pid {process.pid})" if process else "a program that is not visible"
