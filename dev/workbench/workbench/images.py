"""Building the images and reading which ones there are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from workbench.clusters import KIND_NAME
from workbench.commands import run
from workbench.console import WorkbenchError
from workbench.settings import ClusterKind, Settings


def build_images(settings: Settings) -> None:
    """Builds what is missing and gives it to the cluster, or pushes it to `PUSH`."""
    command = [sys.executable, "-m", "imagebuild", "build", "--cluster", settings.cluster.value]
    if settings.push:
        command += ["--push", settings.push]
    elif settings.cluster is ClusterKind.EXISTING:
        raise WorkbenchError(
            "an existing cluster pulls its images from a registry",
            "say which: make images CLUSTER=existing PUSH=registry.example.com/me",
        )
    if settings.cluster is ClusterKind.KIND:
        command += ["--builder", "docker", "--kind-name", KIND_NAME]
    run(command, show=True)


def read_images(clone: Path) -> dict[str, Any]:
    """Repository and tag of each image by its name. Raises WorkbenchError."""
    try:
        images: dict[str, Any] = json.loads((clone / ".build" / "images.json").read_text())
    except OSError as error:
        raise WorkbenchError("the images are not built", "make images") from error
    return images
