"""Building with Docker, on a base pulled from its registry."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from imagebuild.places import Places
from imagebuild.recipes import Recipe
from localcluster.commands import run

BASE = "debian:trixie-slim"
NEXT_STEP = "see whether the daemon runs (`docker info`), or build with --builder buildah"


class Docker:
    """Builds with the Docker daemon and its BuildKit."""

    def __init__(self, places: Places, ca_bundle: Path | None) -> None:
        self._places = places
        self._ca_bundle = ca_bundle

    def base_identity(self) -> str:
        """Return the base's name: which content it has is the registry's business."""
        return BASE

    def build(self, recipe: Recipe, reference: str) -> None:
        """Build an image and give it a name. Raises ClusterError."""
        options = ["--file", recipe.dockerfile, "--build-arg", f"BASE={BASE}"]
        if recipe.target is not None:
            options += ["--target", recipe.target]
        if self._ca_bundle is not None:
            options += ["--secret", f"id=ca-bundle,src={self._ca_bundle}"]
        run(
            ["docker", "build", *options, "--tag", reference, "."],
            directory=self._places.clone,
            environment=os.environ | {"DOCKER_BUILDKIT": "1"},
            log=self._places.logs / f"image-{recipe.name}.log",
            next_step=NEXT_STEP,
        )

    def archive(self, reference: str, present: Collection[str], file: Path) -> None:
        """Write the whole image as an archive; `present` is not made use of. Raises ClusterError."""
        run(["docker", "save", "--output", str(file), reference], next_step=NEXT_STEP)

    def push(self, reference: str) -> None:
        """Push an image to the registry that its name says. Raises ClusterError."""
        run(
            ["docker", "push", "--quiet", reference],
            next_step="log in first (`docker login REGISTRY`), or check the prefix",
        )
