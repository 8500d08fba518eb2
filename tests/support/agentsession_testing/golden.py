"""Comparing with a file that a person has read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml


class _WithoutAliases(yaml.SafeDumper):
    """A person reads the files: what stands in two places is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


DIRECTORY = Path(__file__).parents[2] / "golden"


def assert_golden(request: pytest.FixtureRequest, name: str, actual: dict[str, Any]) -> None:
    """Fails where `actual` differs from `tests/golden/<name>`; `--update-golden` writes it anew."""
    path = DIRECTORY / name
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            yaml.dump(actual, Dumper=_WithoutAliases, sort_keys=False), encoding="utf-8"
        )
    assert path.exists(), f"{path} is missing; `make golden` writes it"
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == actual


def assert_golden_text(request: pytest.FixtureRequest, name: str, actual: str) -> None:
    """The same for a text."""
    path = DIRECTORY / name
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(actual, encoding="utf-8")
    assert path.exists(), f"{path} is missing; `make golden` writes it"
    assert path.read_text(encoding="utf-8") == actual
