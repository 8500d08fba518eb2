"""The platform's skills as an agent gets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Skills:
    """By name: what is in every request, and what is loaded."""

    folder: Path
    descriptions: Mapping[str, str]
    texts: Mapping[str, str]

    @property
    def all_texts(self) -> str:
        """For an agent that cannot load them."""
        return "\n\n".join(text.strip() for text in self.texts.values())


def read_skills(folder: Path) -> Skills:
    """The skills of a folder. Raises OSError."""
    descriptions, texts = {}, {}
    for file in sorted(folder.glob("*/SKILL.md")):
        _, front, texts[file.parent.name] = file.read_text(encoding="utf-8").split("---\n", 2)
        descriptions[file.parent.name] = yaml.safe_load(front)["description"]
    return Skills(folder, descriptions, texts)
