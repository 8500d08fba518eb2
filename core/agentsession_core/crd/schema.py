"""From a pydantic model to a structural OpenAPI v3 schema, as CustomResourceDefinitions demand."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

Schema = dict[str, Any]

_KEPT: Final = (
    "type",
    "description",
    "format",
    "enum",
    "default",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
)


def structural_schema(model: type[BaseModel]) -> Schema:
    """The model's schema without references, unions with null, titles and nested additions.

    Raises ValueError for a construct that a structural schema cannot express, so that a new field
    that the API server would refuse fails here.
    """
    raw = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(raw, raw.get("$defs", {}), model.__name__)


def _convert(node: Schema, definitions: dict[str, Schema], path: str) -> Schema:
    node = _flatten(node, definitions, path)
    schema: Schema = {key: node[key] for key in _KEPT if key in node}
    schema.update({key: value for key, value in node.items() if key.startswith("x-kubernetes-")})
    if "properties" in node:
        schema["properties"] = {
            name: _convert(child, definitions, f"{path}.{name}")
            for name, child in node["properties"].items()
        }
    elif isinstance(node.get("additionalProperties"), dict):
        schema["additionalProperties"] = _convert(
            node["additionalProperties"], definitions, f"{path}.*"
        )
    if "items" in node:
        schema["items"] = _convert(node["items"], definitions, f"{path}[]")
        if schema["items"].get("x-kubernetes-preserve-unknown-fields"):
            schema["items"].setdefault("type", "object")
    if schema.get("x-kubernetes-int-or-string"):
        # An int-or-string field may declare neither a type nor a length.
        for key in ("type", "maxLength"):
            schema.pop(key, None)
    elif "type" not in schema:
        raise ValueError(f"{path}: no single type")
    return schema


def _flatten(node: Schema, definitions: dict[str, Schema], path: str) -> Schema:
    """Resolves references and `X | None`; keywords beside them win over the referenced ones."""
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return {**_flatten(target, definitions, path), **rest}
    for union in ("anyOf", "allOf", "oneOf"):
        if union in node:
            options = [option for option in node[union] if option.get("type") != "null"]
            if len(options) != 1:
                raise ValueError(f"{path}: {union} of {len(options)} types")
            rest = {k: v for k, v in node.items() if k != union and not _is_null_default(k, v)}
            return {**_flatten(options[0], definitions, path), **rest}
    return {k: v for k, v in node.items() if not _is_null_default(k, v)}


def _is_null_default(key: str, value: object) -> bool:
    return key == "default" and value is None
