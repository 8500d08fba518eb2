"""The chart as helm renders it: HELM names the program, else `.cluster/bin/helm`, else PATH."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "agentsession"
# A helm that was not made by its project's own build assumes a Kubernetes of years ago.
KUBERNETES_VERSION = "1.35.0"
Object = dict[str, Any]
IMAGES: Object = {
    "images": {
        "service": {"repository": "registry.example.com/me/agentsession-service", "tag": "src-1"},
        "agent": {"repository": "registry.example.com/me/agentsession-agent", "tag": "src-2"},
        "development": {
            "repository": "registry.example.com/me/agentsession-development",
            "tag": "src-3",
        },
    }
}
DEVELOPMENT: Object = {"modelServer": {"enabled": True}}
KEY: Object = {"gateway": {"models": {"anthropic": {"apiKey": "sk-test-0123"}}}}


@dataclass(frozen=True)
class Helm:
    program: str
    folder: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments], capture_output=True, text=True, check=False, timeout=60
        )

    def template(
        self, *layers: Object, release: str = "agentsession", namespace: str = "agentsession-system"
    ) -> subprocess.CompletedProcess[str]:
        arguments = ["template", release, str(CHART), "--namespace", namespace]
        arguments += ["--kube-version", KUBERNETES_VERSION]
        for number, layer in enumerate(layers):
            file = self.folder / f"values-{number}.yaml"
            file.write_text(json.dumps(layer))
            arguments += ["--values", str(file)]
        return self.run(*arguments)

    def objects(self, *layers: Object, **names: str) -> list[Object]:
        """What `helm install` makes, without what `helm test` does."""
        return [item for item in self._everything(*layers, **names) if not _hook(item)]

    def hooks(self, *layers: Object, **names: str) -> list[Object]:
        """What helm makes before it installs or upgrades, in order."""
        found = [item for item in self._everything(*layers, **names) if "pre-" in _hook(item)]
        return sorted(
            found, key=lambda item: int(item["metadata"]["annotations"]["helm.sh/hook-weight"])
        )

    def tests(self, *layers: Object, **names: str) -> list[Object]:
        """What `helm test` makes."""
        return [item for item in self._everything(*layers, **names) if _hook(item) == "test"]

    def _everything(self, *layers: Object, **names: str) -> list[Object]:
        result = self.template(IMAGES, *layers, **names)
        assert result.returncode == 0, result.stderr
        return [item for item in yaml.safe_load_all(result.stdout) if item]


def _hook(item: Object) -> str:
    return str(item["metadata"].get("annotations", {}).get("helm.sh/hook", ""))


def find_helm(folder: Path) -> Helm:
    """helm with a folder for its values files; the test fails when there is none."""
    local = ROOT / ".cluster" / "bin" / "helm"
    program = os.environ.get("HELM") or (str(local) if local.exists() else shutil.which("helm"))
    if program is None:
        pytest.fail("no helm: set HELM to its path, or run `make cluster`, which builds one")
    return Helm(program, folder)


def identity(item: Object) -> tuple[str, str, str]:
    """Kind, namespace and name."""
    metadata = item["metadata"]
    return item["kind"], metadata.get("namespace", ""), metadata["name"]


def one(objects: list[Object], kind: str, name: str) -> Object:
    """The only object of that kind and name."""
    found = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    assert len(found) == 1, (kind, name, [identity(o) for o in objects])
    return found[0]


def pod_specs(objects: list[Object]) -> dict[str, Object]:
    """The pods of Deployments and StatefulSets, by name."""
    return {
        item["metadata"]["name"]: item["spec"]["template"]["spec"]
        for item in objects
        if item["kind"] in {"Deployment", "StatefulSet"}
    }
