"""`values.schema.json`: complete, closed, and one with the models that read what it lets in."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.alias_generators import to_camel

from agentsession_core.settings import ModelPrice, OperatorSettings

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "agentsession"
SCHEMA = CHART / "values.schema.json"
TEMPLATES_CRD = ROOT / "crds" / "agentsessiontemplates.yaml"
# Ports are the chart's business: Services and probes name them.
CHART_OWNED = {"port", "metricsPort"}
KEPT_KEYWORDS = (
    "enum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "pattern",
)


@pytest.fixture
def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(SCHEMA.read_text())
    return loaded


def template_schema() -> dict[str, Any]:
    """The template's spec as the CRD has it, as a closed JSON schema without descriptions."""
    crd = yaml.safe_load(TEMPLATES_CRD.read_text())
    version = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return closed(version["properties"]["spec"])


def closed(node: dict[str, Any]) -> dict[str, Any]:
    if node.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    result: dict[str, Any] = {key: node[key] for key in KEPT_KEYWORDS if key in node}
    result["type"] = node["type"]
    if "items" in node:
        result["items"] = closed(node["items"])
    if isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = closed(node["additionalProperties"])
    elif node["type"] == "object" and not node.get("x-kubernetes-preserve-unknown-fields"):
        result["additionalProperties"] = False
        properties = node.get("properties", {})
        result["properties"] = {name: closed(child) for name, child in properties.items()}
        if "required" in node:
            result["required"] = node["required"]
    return result


def test_templates_are_checked_as_the_crd_checks_them(
    schema: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--update-golden"):
        schema["definitions"]["templateSpec"] = template_schema()
        SCHEMA.write_text(json.dumps(schema, indent=2) + "\n")
    assert schema["definitions"]["templateSpec"] == template_schema(), (
        "the CRD has changed: pytest tests/unit/chart --update-golden"
    )


def test_every_object_is_closed(schema: dict[str, Any]) -> None:
    # Objects of Kubernetes that the chart passes on as they are.
    opaque = {
        "affinity",
        "tolerations",
        "claims",
        "global",
        "volumes",
        "volumeMounts",
        "valueFrom",
    }
    found: list[str] = []

    def walk(node: Any, path: tuple[str, ...]) -> None:
        if not isinstance(node, dict):
            return
        is_open = node.get("type") == "object" and "additionalProperties" not in node
        if is_open and not opaque & set(path):
            found.append(".".join(path))
        for key, child in node.items():
            walk(child, (*path, key))

    walk(schema, ())
    assert found == []


def test_the_values_are_exactly_those_of_the_schema(schema: dict[str, Any]) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    definitions = schema["definitions"]

    def compare(node: dict[str, Any], value: Any, path: str) -> None:
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[-1]
            if name == "templateSpec":  # a choice of its many fields
                return
            node = definitions[name]
        if node.get("type") != "object" or "properties" not in node:
            return
        wanted = set(node["properties"]) - {"global", "claims", "requests", "limits"}
        given = set(value) - {"requests", "limits"}
        assert given == wanted, path
        for name in wanted:
            compare(node["properties"][name], value[name], f"{path}.{name}")

    compare(schema, values, "values")


def test_operator_settings_are_those_of_the_model(schema: dict[str, Any]) -> None:
    known = set(schema["properties"]["operator"]["properties"]["settings"]["properties"])
    fields = {to_camel(name) for name in OperatorSettings.model_fields}
    assert known == fields - CHART_OWNED


def test_operator_defaults_are_those_of_the_model() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    expected = OperatorSettings().model_dump(by_alias=True)
    assert {**expected, **values["operator"]["settings"]} == expected


def test_prices_are_those_of_the_model(schema: dict[str, Any]) -> None:
    models = schema["properties"]["gateway"]["properties"]["models"]["properties"]
    price = models["prices"]["additionalProperties"]
    fields = {to_camel(name) for name in ModelPrice.model_fields}
    assert set(price["properties"]) == set(price["required"]) == fields


def test_closing_a_schema_keeps_limits_and_opens_nothing() -> None:
    node = {
        "type": "object",
        "description": "dropped",
        "required": ["a"],
        "properties": {
            "a": {"type": "string", "maxLength": 3},
            "b": {"x-kubernetes-int-or-string": True},
            "c": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    before = copy.deepcopy(node)
    assert closed(node) == {
        "type": "object",
        "additionalProperties": False,
        "required": ["a"],
        "properties": {
            "a": {"type": "string", "maxLength": 3},
            "b": {"type": ["integer", "string"]},
            "c": {"type": "object"},
        },
    }
    assert node == before
