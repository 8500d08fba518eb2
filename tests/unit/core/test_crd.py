"""The CRDs are what the models say, everywhere they lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from agentsession_core.crd.definitions import session_definition, template_definition
from agentsession_core.crd.generate import documents
from agentsession_core.crd.reference import reference
from agentsession_core.crd.schema import structural_schema
from agentsession_core.mailbox.reference import contract

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("folder", ["crds", "charts/agentsession/crds"])
@pytest.mark.parametrize("name", sorted(documents()))
def test_files_are_generated_from_the_models(folder: str, name: str) -> None:
    content = (ROOT / folder / name).read_text(encoding="utf-8")
    assert content == documents()[name], "run `make crds`"


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
        yield from fields(child.get("items", {}), f"{path}.{name}[]")


def schema_of(definition: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


@pytest.mark.parametrize("definition", [session_definition(), template_definition()])
def test_every_field_is_described(definition: dict[str, Any]) -> None:
    bare = [
        path
        for path, field in fields(schema_of(definition))
        if not field.get("description") and not path.startswith(".metadata")
    ]
    assert bare == []


@pytest.mark.parametrize("definition", [session_definition(), template_definition()])
def test_everything_that_a_person_writes_has_a_limit(definition: dict[str, Any]) -> None:
    unlimited = [
        path
        for path, field in fields(schema_of(definition)["properties"]["spec"], ".spec")
        if (
            field.get("type") == "string"
            and not {"maxLength", "enum", "pattern", "format"} & field.keys()
        )
        or (field.get("type") == "array" and "maxItems" not in field)
    ]
    assert unlimited == []


def test_fields_that_a_template_may_set_have_no_default() -> None:
    spec = schema_of(session_definition())["properties"]["spec"]
    defaults = {path for path, field in fields(spec) if "default" in field}
    assert defaults == {".operatingMode"}


def test_columns_of_the_design() -> None:
    columns = session_definition()["spec"]["versions"][0]["additionalPrinterColumns"]
    narrow = [c["name"].upper() for c in columns if not c.get("priority")]
    wide = [c["name"].upper() for c in columns if c.get("priority")]
    assert narrow == ["AGENT", "PHASE", "READY", "REASON", "ACTIVITY", "EXPIRES", "AGE"]
    assert wide == ["USER", "POD", "TURNS", "TOKENS", "COST", "LAUNCH"]
    # A date column would print <invalid> for a time to come.
    assert next(c for c in columns if c["name"] == "Expires")["type"] == "string"


def test_a_union_that_kubernetes_cannot_express_is_refused() -> None:
    class Ambiguous(BaseModel):
        value: int | str

    with pytest.raises(ValueError, match=r"Ambiguous\.value"):
        structural_schema(Ambiguous)


def test_reference_is_generated_from_the_models() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert page == reference(), "run `make crds`"


def test_contract_of_redis_is_generated_from_the_models() -> None:
    page = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    assert page == contract(), "run `make crds`"


def test_generated_yaml_is_the_definition() -> None:
    assert yaml.safe_load(documents()["agentsessions.yaml"]) == session_definition()
