"""The API reference as Markdown: `python -m agentsession_core.crd.reference FILE`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentsession_core.crd.definitions import session_definition, template_definition

Schema = dict[str, Any]
_HEADER = """# API reference

Generated from the models by `make crds`. Group `agentsession.dev`, version `v1alpha1`. A field without a
default is taken from the session, else its template, else the chart.
"""


def reference() -> str:
    """The whole page."""
    parts = [_HEADER]
    for definition in (session_definition(), template_definition()):
        names = definition["spec"]["names"]
        root = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        parts.append(f"## {names['kind']} (`{names['shortNames'][0]}`)\n\n{root['description']}\n")
        for section in ("spec", "status"):
            schema = root["properties"].get(section)
            if schema:
                rows = "\n".join(_rows(schema, section))
                parts.append(f"### {section}\n\n| field | type | |\n| --- | --- | --- |\n{rows}\n")
    return "\n".join(parts)


def _rows(schema: Schema, path: str) -> Iterator[str]:
    for name, child in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        required = " **Required.**" if name in schema.get("required", ()) else ""
        yield f"| `{here}` | {_type(child)} | {child.get('description', '')}{required}{_limits(child)} |"
        yield from _rows(child, here)
        yield from _rows(child.get("items", {}), f"{here}[]")


def _type(schema: Schema) -> str:
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if "additionalProperties" in schema:
        return f"map of {_type(schema['additionalProperties'])}"
    return str(schema.get("format", schema.get("type", "object")))


def _limits(schema: Schema) -> str:
    notes = []
    if "default" in schema:
        notes.append(f"Default `{schema['default']}`.")
    if "maxLength" in schema:
        notes.append(f"At most {schema['maxLength']} characters.")
    notes += [f"CEL: {rule['message']}." for rule in schema.get("x-kubernetes-validations", ())]
    return "".join(f" {note}" for note in notes)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
