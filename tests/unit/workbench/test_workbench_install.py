from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from workbench.clusters import Cluster
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
