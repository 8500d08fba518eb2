"""The release under test, upgraded for a while by a test that needs other values."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from agentsession_testing.cluster import Names

CHART = Path(__file__).resolve().parents[3] / "charts" / "agentsession"


class Upgrade(Protocol):
    """Upgrades the release to these values (dotted name → any JSON value) and waits until it is done."""

    def __call__(self, values: Mapping[str, Any], /) -> None: ...


@contextmanager
def upgradable(names: Names) -> Iterator[Upgrade]:
    """An `Upgrade` that is taken back at the end of the block."""
    before = _revision(names)

    def upgrade(values: Mapping[str, Any], /) -> None:
        sets = [
            part
            for name, value in values.items()
            for part in ("--set-json", f"{name}={json.dumps(value)}")
        ]
        _helm(names, "upgrade", names.release, str(CHART), "--reset-then-reuse-values",
              "--skip-crds", "--wait", "--timeout", "120s", *sets)  # fmt: skip

    try:
        yield upgrade
    finally:
        if _revision(names) != before:
            _helm(names, "rollback", names.release, before, "--wait", "--timeout", "120s")


def _helm(names: Names, *arguments: str) -> str:
    command = ["helm", "--namespace", names.namespace, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    return done.stdout


def _revision(names: Names) -> str:
    history = json.loads(_helm(names, "history", names.release, "-o", "json"))
    return str(max(entry["revision"] for entry in history))
