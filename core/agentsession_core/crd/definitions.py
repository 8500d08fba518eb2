"""The two CustomResourceDefinitions as whole objects."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from agentsession_core import naming
from agentsession_core.api.session import ROOT_RULES, SPEC_RULES, AgentSessionSpec
from agentsession_core.api.status import AgentSessionStatus
from agentsession_core.api.template import AgentSessionTemplateSpec
from agentsession_core.crd.cel import rules
from agentsession_core.crd.schema import Schema, structural_schema

# Raised by one with every change of the schema: `make install` never replaces a newer one, and an
# operator that finds an older one is unready.
SCHEMA_VERSION: Final = 5

Column = dict[str, Any]


def _column(name: str, path: str, *, kind: str = "string", wide: bool = False) -> Column:
    column: Column = {"name": name, "type": kind, "jsonPath": path}
    if wide:
        column["priority"] = 1
    return column


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


_SESSION_COLUMNS: Final = [
    _column("Agent", ".status.effective.agentType"),
    _column("Phase", ".status.phase"),
    _column("Ready", _condition("Ready", "status")),
    _column("Reason", _condition("Ready", "reason")),
    _column("Activity", ".status.lastActivityTime", kind="date"),
    # A date column would show every future time as <invalid>.
    _column("Expires", ".status.expirationTime"),
    _column("Age", ".metadata.creationTimestamp", kind="date"),
    _column("User", ".spec.user.id", wide=True),
    _column("Pod", ".status.podName", wide=True),
    _column("Turns", ".status.usage.turns", kind="integer", wide=True),
    _column("Tokens", ".status.usage.outputTokens", kind="integer", wide=True),
    _column("Cost", ".status.usage.costUSD", wide=True),
    _column("Launch", ".status.launchType", wide=True),
]
_TEMPLATE_COLUMNS: Final = [
    _column("Agent", ".spec.agent.type"),
    _column("Model", ".spec.agent.model"),
    _column("Network", ".spec.network"),
    _column("Age", ".metadata.creationTimestamp", kind="date"),
]


def _root(description: str, spec: Schema, status: Schema | None) -> Schema:
    properties: Schema = {
        "apiVersion": {"type": "string", "description": "Version of this kind's schema."},
        "kind": {"type": "string", "description": "The kind."},
        "metadata": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "maxLength": naming.SESSION_NAME_LIMIT},
            },
        },
        "spec": spec,
    }
    if status is not None:
        properties["status"] = status
    return {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": properties,
    }


def _described(model: type[BaseModel], description: str) -> Schema:
    return {**structural_schema(model), "description": description}


def _definition(
    kind: str, plural: str, short_name: str, root: Schema, columns: list[Column], **version: Any
) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{naming.GROUP}",
            "annotations": {naming.ANNOTATION_SCHEMA_VERSION: str(SCHEMA_VERSION)},
        },
        "spec": {
            "group": naming.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short_name],
                "categories": ["agents"],
            },
            "versions": [
                {
                    "name": naming.VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": root},
                    **version,
                }
            ],
        },
    }


def session_definition() -> dict[str, Any]:
    """CRD of AgentSession."""
    spec = _described(AgentSessionSpec, "What the session's owner wants.")
    spec.update(rules(*SPEC_RULES))
    root = _root(
        "One user's agent: a coding CLI in a pod of its own, with a workspace that outlives the pod.",
        spec,
        _described(AgentSessionStatus, "What the operator saw last."),
    )
    root.update(rules(*ROOT_RULES))
    return _definition(
        naming.SESSION_KIND,
        naming.SESSION_PLURAL,
        "ags",
        root,
        _SESSION_COLUMNS,
        subresources={"status": {}},
        selectableFields=[{"jsonPath": ".spec.user.id"}],
    )


def template_definition() -> dict[str, Any]:
    """CRD of AgentSessionTemplate."""
    root = _root(
        "Defaults and limits for the AgentSessions of a namespace.",
        _described(AgentSessionTemplateSpec, "Defaults and limits."),
        None,
    )
    return _definition(
        naming.TEMPLATE_KIND, naming.TEMPLATE_PLURAL, "agst", root, _TEMPLATE_COLUMNS
    )
