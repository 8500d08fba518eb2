"""The local cluster's CNI plugin against a real nftables table, in a network namespace of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / ".cluster" / "cni-plugins" / "netpol-cni"
# As the controller writes it; 10.219.0.2 has the policy for the world, 10.219.0.4 is the gateway.
TABLE = ROOT / "dev/localcluster/go/internal/netpol/testdata/chart.nft"


class Node:
    """Commands for one `sh` in a new network namespace, and what its sets hold afterwards."""

    def __init__(self, folder: Path) -> None:
        self._state = folder / "state"
        self._commands: list[str] = []

    def table(self) -> None:
        self._commands.append(f"nft -f {TABLE}")

    def call(self, command: str, container: str, namespace: str, address: str) -> None:
        previous = {
            "cniVersion": "1.0.0",
            "interfaces": [{"name": f"veth{container}"}, {"name": "eth0", "sandbox": "/s"}],
            "ips": [{"interface": 1, "address": f"{address}/22"}],
        }
        config = {
            **{"cniVersion": "1.0.0", "name": "n", "type": "netpol-cni", "table": "test"},
            **{"stateDir": str(self._state), "prevResult": previous},
        }
        arguments = f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={container}"
        self._commands.append(
            f"echo '{json.dumps(config)}' | CNI_COMMAND={command} CNI_CONTAINERID={container}"
            f" CNI_ARGS='{arguments}' CNI_NETNS=/s CNI_IFNAME=eth0 CNI_PATH=/ {PLUGIN} > /dev/null"
        )

    def run(self) -> dict[str, set[str]]:
        """Each set of the table with its elements. Raises CalledProcessError."""
        script = "\n".join(["set -e", *self._commands, "nft list ruleset"])
        done = subprocess.run(
            ["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, check=True
        )
        return {
            name: set(re.findall(r'[\w.]+(?=[",\s])', elements))
            for name, elements in re.findall(
                r"set (\S+) \{[^}]*?elements = \{([^}]*)\}", done.stdout
            )
        }

    def attached(self) -> list[str]:
        return sorted(file.stem for file in (self._state / "pods").glob("*.json"))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    if os.geteuid() != 0 or not PLUGIN.exists():
        pytest.skip("needs root and the programs of the local cluster (`make cluster`)")
    return Node(tmp_path)


def test_a_new_address_is_its_namespaces_at_once(node: Node) -> None:
    node.table()
    node.call("ADD", "new", "agents", "10.219.0.77")
    sets = node.run()
    assert "10.219.0.77" in sets["pods-agents"] & sets["fresh"]
    assert "vethnew" in sets["links"]
    assert node.attached() == ["new"]


def test_a_namespace_that_the_table_does_not_know_gets_its_set(node: Node) -> None:
    node.table()
    node.call("ADD", "new", "brand-new", "10.219.0.77")
    assert node.run()["pods-brand-new"] == {"10.219.0.77"}


def test_a_deleted_pod_leaves_nothing(node: Node) -> None:
    node.table()
    node.call("ADD", "new", "agents", "10.219.0.77")
    node.call("DEL", "new", "agents", "10.219.0.77")
    node.call("DEL", "new", "agents", "10.219.0.77")
    sets = node.run()
    assert not [name for name, elements in sets.items() if "10.219.0.77" in elements]
    assert "vethnew" not in sets["links"]
    assert node.attached() == []


@pytest.mark.parametrize("address", ["10.219.0.2", "10.219.0.4"])
def test_a_reused_address_is_new_whatever_its_former_holder_was(node: Node, address: str) -> None:
    # Rules by labels never hold for what is in `fresh`: the Go tests see to that.
    node.table()
    node.call("ADD", "second", "agents", address)
    sets = node.run()
    assert address in sets["fresh"] & sets["pods-agents"]


def test_an_address_whose_former_holder_was_never_deleted_changes_hands(node: Node) -> None:
    node.table()
    node.call("ADD", "first", "agents", "10.219.0.77")
    node.call("ADD", "second", "other", "10.219.0.77")
    sets = node.run()
    assert "10.219.0.77" not in sets["pods-agents"]
    assert sets["pods-other"] == {"10.219.0.77"}
    assert node.attached() == ["second"]


def test_without_rules_no_pod_is_attached_but_one_can_be_deleted(node: Node) -> None:
    node.call("DEL", "old", "agents", "10.219.0.77")
    node.call("ADD", "new", "agents", "10.219.0.77")
    with pytest.raises(subprocess.CalledProcessError):
        node.run()
    assert node.attached() == []
