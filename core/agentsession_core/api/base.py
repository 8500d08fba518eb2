"""Bases of all Kubernetes-shaped models: camelCase outside, snake_case inside."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

# Field names whose Kubernetes spelling keeps an acronym in capitals (API conventions: ID, UID, URL, USD).
_ACRONYMS = {"Id": "ID", "Usd": "USD", "Url": "URL", "Uid": "UID"}


def _alias(name: str) -> str:
    camel = to_camel(name)
    for suffix, acronym in _ACRONYMS.items():
        if camel.endswith(suffix) and camel != suffix:
            return camel[: -len(suffix)] + acronym
    return camel


class ApiModel(BaseModel):
    """A part of a custom resource: unknown fields are kept out, never refused, when it is read.

    A newer CRD may carry fields this version does not know; refusing them would stop every session
    during an upgrade. Writers are protected by the API server, which refuses unknown fields.
    """

    model_config = ConfigDict(
        alias_generator=_alias, populate_by_name=True, extra="ignore", frozen=True
    )

    def to_api(self) -> dict[str, Any]:
        """The object as the API server takes it: camelCase, JSON types, unset fields left out."""
        return self.model_dump(by_alias=True, mode="json", exclude_none=True)
