"""Every value of the chart stands in docs/install.md, with the default it has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
VALUES = ROOT / "charts" / "agentsession" / "values.yaml"
PAGE = ROOT / "docs" / "install.md"
ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<default>[^|]+) \|", re.MULTILINE)
# Documented in one row each: what is below them is a Kubernetes object or a template's spec.
WHOLE = {"resources", "defaultTemplate", "nodeSelector", "affinity", "podAnnotations", "prices"}
PER_PART = {"resources", "priorityClassName", "nodeSelector", "tolerations", "affinity"} | {
    "podAnnotations"
}
PARTS = {"operator", "gateway", "bridge", "orchestrator", "redis", "modelServer"} | {
    "telegramServer"
}


def leaves(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        here = (*path, key)
        if len(here) == 2 and here[0] in PARTS and key in PER_PART:
            yield f"<part>.{key}", None
        elif isinstance(value, dict) and value and key not in WHOLE:
            yield from leaves(value, here)
        else:
            yield ".".join(here), value


def documented() -> dict[str, str]:
    return {match["name"]: match["default"].strip() for match in ROW.finditer(PAGE.read_text())}


def test_every_value_has_a_row_and_every_row_a_value() -> None:
    values = dict(leaves(yaml.safe_load(VALUES.read_text())))
    assert set(documented()) == set(values)


def test_the_defaults_are_the_ones_in_the_table() -> None:
    table = documented()
    wrong = {}
    for name, value in leaves(yaml.safe_load(VALUES.read_text())):
        if name.startswith("<part>"):
            continue
        shown = value if isinstance(value, str) else json.dumps(value)
        expected = f"`{shown}`" if shown not in ("", "[]", "{}") else "empty"
        if table.get(name) != expected:
            wrong[name] = (table.get(name), expected)
    assert wrong == {}
