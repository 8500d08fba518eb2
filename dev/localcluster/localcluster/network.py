"""The cluster's part of the host's network."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from localcluster.commands import run, succeeds
from localcluster.settings import Network

DEFAULT_MTU = 1500
NEXT_STEP = "this needs root and a kernel with bridge, veth and nftables"
# Changed by the kubelet, kube-proxy and ourselves; put back when the cluster goes.
CHANGED_SYSCTLS = (
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
# What the chart denies in any case; anything else of the host it has to be told of.
NOT_THE_WORLD = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8"),
        *("169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    )
)
SYSCTL_FOLDER = Path("/proc/sys")
KUBE_PROXY_TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"))


def create_node_interface(network: Network) -> None:
    """Make the interface with the node's address, if it is not there.

    A bridge without ports: like a dummy interface, which not every kernel has.
    """
    if not succeeds(["ip", "link", "show", network.interface]):
        run(["ip", "link", "add", network.interface, "type", "bridge"], next_step=NEXT_STEP)
    address = f"{network.node_address}/32"
    run(["ip", "address", "replace", address, "dev", network.interface], next_step=NEXT_STEP)
    run(["ip", "link", "set", network.interface, "up"], next_step=NEXT_STEP)


def delete_links(network: Network) -> None:
    """Remove the node's interface and what is left of the pods' interfaces."""
    devices = pod_devices(current_routes(), network) | {network.interface}
    for device in sorted(devices):
        if succeeds(["ip", "link", "show", device]):
            run(["ip", "link", "delete", device], next_step=NEXT_STEP)


def load_ruleset(ruleset: str) -> None:
    """Load an nftables ruleset atomically."""
    run(["nft", "-f", "-"], stdin=ruleset, next_step=NEXT_STEP)


def delete_tables(network: Network) -> None:
    """Remove the cluster's and kube-proxy's nftables tables."""
    ours = (("inet", network.nft_table), ("inet", network.netpol_table))
    for family, table in (*ours, *KUBE_PROXY_TABLES):
        if table_exists(family, table):
            run(["nft", "delete", "table", family, table], next_step=NEXT_STEP)


def drops_forwarded(chain: str) -> bool:
    """Return whether a chain, as `nft list chain` shows it, drops what no rule accepts."""
    return "hook forward" in chain and "policy drop" in chain


def forward_policy_drops() -> bool:
    """Return whether the host drops forwarded packets, as it does when Docker has started."""
    result = subprocess.run(
        ["nft", "list", "chain", "ip", "filter", "FORWARD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode == 0 and drops_forwarded(result.stdout)


def table_exists(family: str, table: str) -> bool:
    """Return whether an nftables table exists."""
    return succeeds(["nft", "list", "table", family, table])


def read_sysctls(folder: Path = SYSCTL_FOLDER) -> dict[str, str]:
    """Return the present values of the kernel parameters that the cluster changes."""
    return {
        name: (folder / name).read_text().strip()
        for name in CHANGED_SYSCTLS
        if (folder / name).is_file()
    }


def write_sysctls(values: dict[str, str], folder: Path = SYSCTL_FOLDER) -> None:
    """Set kernel parameters that differ from the wanted values."""
    for name, value in values.items():
        path = folder / name
        if name in CHANGED_SYSCTLS and path.is_file() and path.read_text().strip() != value:
            path.write_text(value)


def pod_mtu(device: str | None, folder: Path = Path("/sys/class/net")) -> int:
    """Return the MTU for pods: that of the way out, else large answers from outside are lost."""
    if device is None:
        return DEFAULT_MTU
    try:
        return min(DEFAULT_MTU, int((folder / device / "mtu").read_text()))
    except (OSError, ValueError):
        return DEFAULT_MTU


def default_device(routes: list[dict[str, Any]]) -> str | None:
    """Return the interface of the default route."""
    for route in routes:
        if route.get("dst") == "default" and "dev" in route:
            return str(route["dev"])
    return None


def pod_devices(routes: list[dict[str, Any]], network: Network) -> set[str]:
    """Return the interfaces with a route to a pod's address."""
    found = set()
    for route in routes:
        destination = _destination(route)
        if destination is not None and destination.subnet_of(network.pods) and "dev" in route:
            found.add(str(route["dev"]))
    return found


def overlapping_routes(routes: list[dict[str, Any]], network: Network) -> list[str]:
    """Return the host's routes, as text, that lead into the cluster's address ranges."""
    node = ipaddress.IPv4Network(network.node_address)
    ours = (network.pods, network.services, node)
    found = []
    for route in routes:
        destination = _destination(route)
        if destination is None or destination.prefixlen == 0:
            continue
        if route.get("dev") == network.interface or route.get("type") == "local":
            continue
        # A wide route to elsewhere does no harm: ours are narrower and win.
        if any(destination.subnet_of(item) for item in ours):
            found.append(f"{destination} dev {route.get('dev', '?')}")
    return found


def current_routes() -> list[dict[str, Any]]:
    """Return the host's IPv4 routes as `ip -json route` shows them."""
    output = run(["ip", "-4", "-json", "route", "show"], next_step=NEXT_STEP)
    routes: list[dict[str, Any]] = json.loads(output or "[]")
    return routes


def host_addresses() -> list[ipaddress.IPv4Address]:
    """Return the host's IPv4 addresses."""
    output = run(["ip", "-4", "-json", "address", "show"], next_step=NEXT_STEP)
    return [
        ipaddress.IPv4Address(entry["local"])
        for link in json.loads(output or "[]")
        for entry in link.get("addr_info", [])
    ]


def public_addresses(addresses: Iterable[ipaddress.IPv4Address]) -> list[ipaddress.IPv4Address]:
    """Return, sorted, the addresses that the chart's NetworkPolicies take for the world's."""
    return sorted(
        {
            address
            for address in addresses
            if not any(address in network for network in NOT_THE_WORLD)
        }
    )


def _destination(route: dict[str, Any]) -> ipaddress.IPv4Network | None:
    text = str(route.get("dst", ""))
    try:
        return ipaddress.IPv4Network("0.0.0.0/0" if text == "default" else text)
    except ValueError:
        return None
