"""Kubernetes' own schema keywords, for use in the models' `json_schema_extra`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Rule:
    """One CEL rule. `field_path` names the field in the API server's refusal."""

    rule: str
    message: str
    field_path: str | None = None

    def to_schema(self) -> dict[str, str]:
        """The rule as an entry of `x-kubernetes-validations`."""
        schema = {"rule": self.rule, "message": self.message}
        if self.field_path is not None:
            schema["fieldPath"] = self.field_path
        return schema


def rules(*entries: Rule) -> dict[str, Any]:
    """Schema keywords that make the API server check `entries`."""
    return {"x-kubernetes-validations": [entry.to_schema() for entry in entries]}


preserve_unknown_fields: Final[dict[str, Any]] = {"x-kubernetes-preserve-unknown-fields": True}
int_or_string: Final[dict[str, Any]] = {"x-kubernetes-int-or-string": True}
