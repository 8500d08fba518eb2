"""Images in the cluster's containerd. Usable from other Python code."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from localcluster.archives import archive_references, normalized_reference
from localcluster.commands import run
from localcluster.errors import ClusterError
from localcluster.settings import Settings

KUBERNETES_NAMESPACE = "k8s.io"
NEXT_STEP = "see whether the cluster is up: `python -m localcluster status`"


class ImageStore:
    """The images that pods of the local cluster can be started from."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def names(self) -> list[str]:
        """Return all references, normalized (registry and tag written out)."""
        listed = self._ctr("images", "list", "--quiet").split()
        # The kubelet's side keeps every image under its bare id as well.
        return sorted(name for name in listed if not name.startswith("sha256:"))

    def present(self, reference: str) -> bool:
        """Return whether an image of this name is there."""
        return normalized_reference(reference) in self.names()

    def load(self, archive: Path, *, name: str | None = None, force: bool = False) -> list[str]:
        """Import an image archive unless its images are there; return what was imported.

        Args:
            archive: a docker-archive or oci-archive file.
            name: the reference to give the image, for an archive that holds one image.
            force: import although an image of that name is there.

        Raises:
            ClusterError: no archive, no name, or the cluster is not up.
        """
        if not archive.is_file():
            raise ClusterError(
                f"there is no file {archive}", next_step="build the images: `make images`"
            )
        held = archive_references(archive)
        wanted = [normalized_reference(name)] if name is not None else held
        if not wanted:
            raise ClusterError(
                f"{archive} does not name its image", next_step="give it one with --name"
            )
        if not force and set(wanted) <= set(self.names()):
            return []
        if name is not None and len(held) > 1:
            raise ClusterError(
                f"{archive} holds several images", next_step="leave out --name to load them all"
            )
        self._import(archive, wanted[0], held)
        return wanted

    def extract(self, reference: str, path: str, destination: Path) -> None:
        """Copy one file out of an image.

        Raises:
            ClusterError: no such image or file, or the cluster is not up.
        """
        with TemporaryDirectory() as folder:
            self._ctr("images", "mount", normalized_reference(reference), folder)
            try:
                shutil.copy2(Path(folder) / path.lstrip("/"), destination)
            except OSError as error:
                raise ClusterError(
                    f"{reference} has no readable {path}: {error}", next_step="make images"
                ) from error
            finally:
                self._ctr("images", "unmount", "--rm", folder)

    def tag(self, reference: str, alias: str) -> None:
        """Give an image a second name.

        Raises:
            ClusterError: no such image, or the cluster is not up.
        """
        names = (normalized_reference(reference), normalized_reference(alias))
        self._ctr("images", "tag", "--force", *names)

    def _import(self, archive: Path, wanted: str, held: Sequence[str]) -> None:
        unnamed = [] if held else ["--index-name", wanted]
        self._ctr("images", "import", *unnamed, str(archive))
        if held and wanted not in held:
            self._ctr("images", "tag", "--force", held[0], wanted)

    def _ctr(self, *arguments: str) -> str:
        socket = str(self._settings.paths.containerd_socket)
        return run(
            ["ctr", "--address", socket, "--namespace", KUBERNETES_NAMESPACE, *arguments],
            next_step=NEXT_STEP,
        )
