"""Whether the API server's CRDs are at least as new as this program's models."""

from __future__ import annotations

from typing import Any

from agentsession_core import naming
from agentsession_core.crd.definitions import session_definition, template_definition

Schema = dict[str, Any]


def missing_fields(served: dict[str, Schema]) -> list[str]:
    """Fields that the models have and the served schemas (kind → schema) lack, e.g.
    `AgentSession.spec.mailbox`. A write of such a field would be dropped without a word."""
    kinds = {
        naming.SESSION_KIND: session_definition(),
        naming.TEMPLATE_KIND: template_definition(),
    }
    return [
        path
        for kind, definition in kinds.items()
        for path in _missing(
            kind,
            definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
            served.get(kind, {}),
        )
    ]


def _missing(path: str, ours: Schema, theirs: Schema) -> list[str]:
    found = []
    for name, child in ours.get("properties", {}).items():
        if name in ("metadata", "apiVersion", "kind"):
            continue
        known = theirs.get("properties", {}).get(name)
        if known is None:
            found.append(f"{path}.{name}")
        else:
            found += _missing(f"{path}.{name}", child, known)
    if "items" in ours and "items" in theirs:
        found += _missing(f"{path}[]", ours["items"], theirs["items"])
    return found
