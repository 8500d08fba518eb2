"""Writes the CRDs: `python -m agentsession_core.crd.generate DIRECTORY [DIRECTORY ...]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from agentsession_core.crd.definitions import session_definition, template_definition

HEADER = "# Generated from agentsession_core.api by `make crds`; edit the models, not this file.\n"


def documents() -> dict[str, str]:
    """File name → content of every CRD."""
    return {
        "agentsessions.yaml": _render(session_definition()),
        "agentsessiontemplates.yaml": _render(template_definition()),
    }


def _render(definition: dict[str, Any]) -> str:
    return HEADER + yaml.safe_dump(definition, sort_keys=False, width=100, allow_unicode=True)


def main(directories: list[str]) -> int:
    """Writes into each directory; answers the exit code."""
    for directory in map(Path, directories):
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in documents().items():
            (directory / name).write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
