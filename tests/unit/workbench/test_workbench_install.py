from __future__ import annotations

import json
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml

from localcluster.network import public_addresses
from localcluster.settings import Network
from workbench.clusters import Cluster, local_chart_values
from workbench.console import Reporter
from workbench.install import SCHEMA_VERSION, install_crds


class RecordingCluster(Cluster):
    """Answers `get crd` from a table and records what is applied."""

    def __init__(self, versions: dict[str, str | None]) -> None:
        self.versions = versions
        self.applied: list[str] = []

    def up(self, reporter: Reporter) -> None:
        raise AssertionError("not called")

    def down(self, reporter: Reporter) -> None:
        raise AssertionError("not called")

    @property
    def kubeconfig(self) -> str:
        return ""

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        if arguments[0] == "get":
            name = arguments[2]
            if name not in self.versions:
                return ""
            version = self.versions[name]
            annotations = {} if version is None else {SCHEMA_VERSION: version}
            return json.dumps({"metadata": {"annotations": annotations}})
        if arguments[0] == "apply":
            self.applied.append(Path(arguments[-1]).stem)
        return ""


@pytest.fixture
def crds(tmp_path: Path) -> Path:
    definition = {"metadata": {"name": "things", "annotations": {SCHEMA_VERSION: "3"}}}
    (tmp_path / "things.yaml").write_text(yaml.safe_dump(definition))
    return tmp_path


@pytest.mark.parametrize(
    ("installed", "applied"),
    [
        ({}, ["things"]),
        ({"things": None}, ["things"]),
        ({"things": "2"}, ["things"]),
        ({"things": "3"}, ["things"]),
        ({"things": "4"}, []),
        ({"things": "10"}, []),
    ],
)
def test_a_newer_crd_is_never_replaced(
    crds: Path, installed: dict[str, str | None], applied: list[str]
) -> None:
    cluster = RecordingCluster(installed)
    install_crds(cluster, crds, Reporter())
    assert cluster.applied == applied


def test_only_public_addresses_of_the_host_have_to_be_denied() -> None:
    texts = ("192.0.2.2", "10.218.0.1", "127.0.0.1", "172.17.0.1", "172.32.0.1", "192.0.2.2")
    public = public_addresses(IPv4Address(text) for text in texts)
    assert [str(address) for address in public] == ["172.32.0.1", "192.0.2.2"]


def test_in_the_local_cluster_dns_is_the_node_and_the_host_is_not_the_world() -> None:
    assert local_chart_values(Network(), [IPv4Address("192.0.2.2")]) == {
        "networkPolicy": {
            "dns": [{"ipBlock": {"cidr": "10.218.0.1/32"}}],
            "extraDenied": ["192.0.2.2/32"],
        }
    }
