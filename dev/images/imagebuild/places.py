"""Where the tool keeps things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RUN_ROOT = Path("/run/agentsession-images")


@dataclass(frozen=True)
class Places:
    """Folders and files of the image builds.

    Args:
        clone: the repository.
        cache: the cache folder shared with the local cluster.
    """

    clone: Path
    cache: Path

    @property
    def folder(self) -> Path:
        """What belongs to image builds in the cache."""
        return self.cache / "images"

    @property
    def storage(self) -> Path:
        """buildah's images and layers."""
        return self.folder / "storage"

    @property
    def logs(self) -> Path:
        """A log for each step that runs another program."""
        return self.cache / "log"

    @property
    def lock(self) -> Path:
        """Held while the storage is in use."""
        return self.folder / "lock"

    @property
    def references(self) -> Path:
        """The file that says which images belong to this clone's sources."""
        return self.clone / ".build" / "images.json"
