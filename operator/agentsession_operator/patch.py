"""The smallest JSON merge patch (RFC 7386) from one object to another."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def merge_patch(before: Json, after: Json) -> Json:
    """A patch that turns `before` into `after`; empty if they are equal. Lists are replaced whole."""
    patch: Json = {key: None for key in before.keys() - after.keys()}
    for key, value in after.items():
        known = before.get(key)
        if known == value:
            continue
        nested = isinstance(known, dict) and isinstance(value, dict)
        patch[key] = merge_patch(known, value) if nested else value  # type: ignore[arg-type]
    return patch
