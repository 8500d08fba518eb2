"""`skaffold.yaml` is run by people with Docker only: what it names has to exist all the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def skaffold() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    return loaded


def test_dockerfiles_and_their_targets_exist(skaffold: dict[str, Any]) -> None:
    artifacts = skaffold["build"]["artifacts"]
    assert {artifact["image"] for artifact in artifacts} == {
        "agentsession-service",
        "agentsession-development",
        "agentsession-agent",
    }
    for artifact in artifacts:
        folder = ROOT / artifact["context"]
        docker = artifact["docker"]
        text = (folder / docker["dockerfile"]).read_text()
        if "target" in docker:
            assert re.search(rf"^FROM \S+ AS {re.escape(docker['target'])}$", text, re.MULTILINE)


def test_chart_values_and_images_exist(skaffold: dict[str, Any]) -> None:
    (release,) = skaffold["deploy"]["helm"]["releases"]
    assert (ROOT / release["chartPath"] / "Chart.yaml").is_file()
    for file in release["valuesFiles"]:
        assert (ROOT / file).is_file()

    schema = json.loads((ROOT / release["chartPath"] / "values.schema.json").read_text())
    images = {artifact["image"] for artifact in skaffold["build"]["artifacts"]}
    assert release["setValueTemplates"]
    for path, template in release["setValueTemplates"].items():
        assert has_value(schema, path.split(".")), path
        match = re.fullmatch(r"\{\{\.IMAGE_(?:REPO|TAG)_(\w+)\}\}", template)
        assert match is not None, template
        assert match[1] in {image.replace("-", "_") for image in images}


def has_value(schema: dict[str, Any], path: list[str]) -> bool:
    node: dict[str, Any] = schema
    for name in path:
        if "$ref" in node:
            node = schema["definitions"][node["$ref"].rsplit("/", 1)[-1]]
        if name not in node.get("properties", {}):
            return False
        node = node["properties"][name]
    return True
