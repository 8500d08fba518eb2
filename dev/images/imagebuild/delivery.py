"""Bringing a built image to where pods can start from it."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from imagebuild.places import Places
from imagebuild.recipes import Recipe
from localcluster.commands import run
from localcluster.console import Reporter
from localcluster.errors import ClusterError
from localcluster.images import KUBERNETES_NAMESPACE, ImageStore
from localcluster.settings import Settings


class Builder(Protocol):
    """What builds images."""

    def base_identity(self) -> str:
        """Return what identifies the base image's content."""

    def build(self, recipe: Recipe, reference: str) -> None:
        """Build an image and give it a name. Raises ClusterError."""

    def archive(self, reference: str, present: Collection[str], file: Path) -> None:
        """Write the image as an archive, if possible without layers that are present."""

    def push(self, reference: str) -> None:
        """Push the image to the registry that its name says. Raises ClusterError."""


class Delivery(Protocol):
    """Where images go."""

    def present(self) -> set[str]:
        """Return the references that need no build."""

    def deliver(self, builder: Builder, reference: str) -> str:
        """Bring a built image there and return what was done, for people."""


class LocalClusterDelivery:
    """Into the containerd of the local cluster."""

    def __init__(self, settings: Settings, places: Places, reporter: Reporter) -> None:
        self._socket = str(settings.paths.containerd_socket)
        self._store = ImageStore(settings)
        self._places = places
        self._reporter = reporter

    def present(self) -> set[str]:
        """Return the images that containerd has."""
        return set(self._store.names())

    def deliver(self, builder: Builder, reference: str) -> str:
        """Load the layers that containerd lacks; everything if it then misses one.

        Raises:
            ClusterError: export or import failed.
        """
        with tempfile.TemporaryDirectory(dir=self._places.folder) as folder:
            file = Path(folder) / "image.tar"
            try:
                builder.archive(reference, self._layers(), file)
                self._store.load(file, force=True)
            except ClusterError as error:
                # A layer was there when the list was made and is collected by now.
                self._reporter.note(f"loading all layers instead of the new ones: {error}")
                builder.archive(reference, (), file)
                self._store.load(file, force=True)
            return f"{file.stat().st_size / 1_000_000:.0f} MB loaded"

    def _layers(self) -> set[str]:
        command = ["ctr", "--address", self._socket, "--namespace", KUBERNETES_NAMESPACE]
        return set(
            run(
                [*command, "content", "list", "--quiet"],
                next_step="bring the cluster up: `make cluster`",
            ).split()
        )


class KindDelivery:
    """Into the nodes of a kind cluster."""

    def __init__(self, cluster: str, places: Places) -> None:
        self._cluster = cluster
        self._places = places

    def present(self) -> set[str]:
        """Return nothing: builder and kind each skip what they have."""
        return set()

    def deliver(self, builder: Builder, reference: str) -> str:
        """Load an archive of the image into every node. Raises ClusterError."""
        with tempfile.TemporaryDirectory(dir=self._places.folder) as folder:
            file = Path(folder) / "image.tar"
            builder.archive(reference, (), file)
            run(
                ["kind", "load", "image-archive", str(file), "--name", self._cluster],
                next_step=f"see whether kind cluster {self._cluster} is up: `kind get clusters`",
            )
        return f"loaded into kind cluster {self._cluster}"


class RegistryDelivery:
    """Into a container registry."""

    def present(self) -> set[str]:
        """Return nothing: builder and registry each skip what they have."""
        return set()

    def deliver(self, builder: Builder, reference: str) -> str:
        """Push the image. Raises ClusterError."""
        builder.push(reference)
        return "pushed"
