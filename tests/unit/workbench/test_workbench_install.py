from __future__ import annotations

import json
import os
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml

from localcluster.network import public_addresses
from localcluster.settings import Network
from workbench.clusters import Cluster, local_chart_values
from workbench.console import Reporter
from workbench.install import (
    BENCH_PERSON,
    SCHEMA_VERSION,
    install_crds,
    install_release,
    telegram_values,
)
from workbench.settings import Names, load_settings

CLONE = Path("/somewhere/agentsession")


RECORDER = """#!/bin/sh
echo "ARGUMENTS $0 $*" >> {calls}
case "$*" in *"-f -"*) cat >> {calls}; echo >> {calls};; esac
"""


class Recorded(Cluster):
    """A cluster whose programs are in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    up = down = None  # type: ignore[assignment]

    @property
    def kubeconfig(self) -> str:
        return ""

    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self._folder}:{os.environ['PATH']}"}


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
    node = [{"ipBlock": {"cidr": "10.218.0.1/32"}}]
    assert local_chart_values(Network(), 16443, [IPv4Address("192.0.2.2")]) == {
        "networkPolicy": {
            "dns": node,
            "apiServer": {"to": node, "ports": [16443]},
            "extraDenied": ["192.0.2.2/32"],
        }
    }


TOKEN = "123456:a-token_of-this-test"


def test_without_a_bot_s_token_there_is_the_page_and_its_people_are_let_in() -> None:
    values = telegram_values(load_settings({}, CLONE))
    assert values["telegramServer"]["enabled"] is True
    offered = [person["id"] for person in values["telegramServer"]["people"]]
    assert offered == [42, 43]
    # And who writes in make bench.
    assert values["bridge"]["allowedUsers"] == [*offered, BENCH_PERSON]


def test_with_a_bot_s_token_the_bridge_reads_it_from_a_secret() -> None:
    settings = load_settings({"TELEGRAM_TOKEN": TOKEN, "TELEGRAM_USERS": "7"}, CLONE)
    values = telegram_values(settings)
    assert values == {
        "bridge": {"telegram": {"existingSecret": "agentsession-telegram"}, "allowedUsers": [7]}
    }


def test_a_token_is_handed_to_the_cluster_by_standard_input_alone(tmp_path: Path) -> None:
    """The whole installation, with programs that write down how they were called."""
    calls = tmp_path / "calls"
    for name in ("kubectl", "helm"):
        program = tmp_path / name
        program.write_text(RECORDER.format(calls=calls))
        program.chmod(0o755)
    (tmp_path / "crds").mkdir()
    build = tmp_path / ".build"
    build.mkdir()
    (build / "images.json").write_text("{}")
    settings = load_settings({"TELEGRAM_TOKEN": TOKEN}, tmp_path)
    install_release(settings, Recorded(tmp_path), Names("r", "n", "s"), Reporter())
    told = calls.read_text()
    secret = f'"stringData": {{"telegram-token": "{TOKEN}"}}'
    assert told.count(TOKEN) == told.count(secret) == 1
    arguments = [line for line in told.splitlines() if line.startswith("ARGUMENTS")]
    assert arguments
    assert not any(TOKEN in line for line in arguments)
    for file in tmp_path.rglob("*"):
        if file.is_file() and file != calls:
            assert TOKEN not in file.read_text(), file
