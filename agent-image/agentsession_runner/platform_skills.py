"""The skills that came with the image: they teach the `orchestrator` command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

API_URL = "ORCHESTRATOR_API_URL"


def find_platform_skills(directory: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The image's skills, name to folder; none where the pod knows of no orchestrator to call."""
    if not environment.get(API_URL):
        return {}
    found = sorted(Path(directory).glob("*/SKILL.md"))
    return {file.parent.name: str(file.parent) for file in found}
