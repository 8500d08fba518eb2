"""`.build/images.json`: the images that belong to the sources, for `make install`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

LOCAL_PREFIX = "localhost"


@dataclass(frozen=True)
class ImageReference:
    """A repository and a tag."""

    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


def merged(text: str | None, built: dict[str, ImageReference]) -> str:
    """Return the file's next content: the images just built over those it names already.

    Args:
        text: the present content, None where there is no file. Unreadable content is replaced.
    """
    try:
        known = json.loads(text) if text is not None else {}
    except ValueError:
        known = {}
    if not isinstance(known, dict):
        known = {}
    new = {
        name: {"repository": image.repository, "tag": image.tag} for name, image in built.items()
    }
    return json.dumps({**known, **new}, indent=2, sort_keys=True) + "\n"


def write_references(file: Path, built: dict[str, ImageReference]) -> None:
    """Write the references; images of this file that were not built now stay as they are."""
    text = file.read_text() if file.exists() else None
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(merged(text, built))
    partial.replace(file)
