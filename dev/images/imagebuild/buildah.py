"""Building with buildah: no daemon, no registry, works inside a plain virtual machine or container."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO

from imagebuild.archive import pack
from imagebuild.base import BaseArchive, cached_base, make_base
from imagebuild.places import RUN_ROOT, Places
from imagebuild.recipes import Recipe
from localcluster.commands import run, succeeds
from localcluster.console import Reporter
from localcluster.errors import ClusterError
from localcluster.packages import install_packages

KEYRING = Path("/usr/share/keyrings/debian-archive-trixie-automatic.gpg")
# What a build needs of the machine: the thing that must be there and the package that has it.
REQUIREMENTS = (
    ("buildah", "buildah"),
    ("mmdebstrap", "mmdebstrap"),
    (str(KEYRING), "debian-archive-keyring"),
)
NEXT_STEP = "read the log; `make images` continues where it stopped"


def missing_packages(is_there: Callable[[str], bool]) -> list[str]:
    """Return the Debian packages to install before the first build."""
    return [package for thing, package in REQUIREMENTS if not is_there(thing)]


class Buildah:
    """Builds in a storage of its own, on a base made from Debian packages.

    Args:
        ca_bundle: certificates that downloads during a build trust; not part of the image.
        storage_driver: `overlay`, or `vfs` where overlay cannot be mounted (slow, large).
    """

    def __init__(
        self, places: Places, reporter: Reporter, ca_bundle: Path | None, storage_driver: str
    ) -> None:
        self._places = places
        self._reporter = reporter
        self._ca_bundle = ca_bundle
        self._storage_driver = storage_driver
        self._base: BaseArchive | None = None

    def prepare(self, missing: list[str]) -> None:
        """Install what is missing. Raises ClusterError."""
        if missing:
            self._reporter.starting(f"installing Debian packages: {' '.join(missing)}")
            with self._reporter.step("installing packages", f"installed {' '.join(missing)}"):
                install_packages(missing, self._places.logs / "image-packages.log")

    def base_identity(self) -> str:
        """Return the base's checksum; makes the base if there is none. Raises ClusterError."""
        if self._base is None:
            self._base = cached_base(self._places) or make_base(self._places, self._reporter)
        return self._base.sha256

    def build(self, recipe: Recipe, reference: str) -> None:
        """Build an image and give it a name. Raises ClusterError."""
        self.base_identity()
        if self._base is None:
            raise AssertionError("base_identity sets the base")
        self._import_base(self._base)
        options = [
            *("--isolation", "chroot", "--layers", "--pull-never"),
            *("--file", recipe.dockerfile, "--ignorefile", recipe.ignore_file),
            *("--build-arg", f"BASE={self._base.reference}"),
        ]
        if recipe.target is not None:
            options += ["--target", recipe.target]
        if self._ca_bundle is not None:
            options += ["--secret", f"id=ca-bundle,src={self._ca_bundle}"]
        run(
            [*self._command("build"), *options, "--tag", reference, "."],
            directory=self._places.clone,
            log=self._places.logs / f"image-{recipe.name}.log",
            next_step=NEXT_STEP,
        )

    def archive(self, reference: str, present: Collection[str], file: Path) -> None:
        """Write the image as an OCI archive without the layers that are present.

        Raises:
            ClusterError: buildah failed.
        """
        push = [*self._command("push"), "--quiet", reference]
        with tempfile.TemporaryFile() as errors:
            with subprocess.Popen(
                [*push, f"docker-archive:/dev/stdout:{reference}"],
                stdout=subprocess.PIPE,
                stderr=errors,
            ) as process:
                if process.stdout is None:
                    raise AssertionError("stdout is a pipe")
                failure = _packed(process.stdout, reference, present, file)
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
        if process.returncode != 0 or failure is not None:
            cause = said.splitlines()[-1] if said else str(failure)
            raise ClusterError(f"{reference} cannot be exported: {cause}", next_step=NEXT_STEP)

    def push(self, reference: str) -> None:
        """Push an image to the registry that its name says. Raises ClusterError."""
        run(
            [*self._command("push"), "--quiet", reference, f"docker://{reference}"],
            next_step="log in first (`buildah login REGISTRY`), or check the prefix",
        )

    def _import_base(self, base: BaseArchive) -> None:
        if succeeds([*self._command("inspect"), "--type", "image", base.reference]):
            return
        with tempfile.TemporaryDirectory(dir=self._places.folder) as folder:
            (Path(folder) / "base.tar").hardlink_to(base.file)
            run(
                [
                    *(*self._command("build"), "--isolation", "chroot", "--quiet"),
                    *("--file", str(self._places.clone / "images" / "base.Dockerfile")),
                    *("--tag", base.reference, folder),
                ],
                log=self._places.logs / "image-base-import.log",
                next_step=NEXT_STEP,
            )

    def _command(self, verb: str) -> list[str]:
        return [
            *("buildah", "--root", str(self._places.storage), "--runroot", str(RUN_ROOT)),
            *("--storage-driver", self._storage_driver, verb),
        ]


def storage_driver(file_system: str) -> str:
    """Return the driver for a storage on a file system: overlay does not go on top of overlay."""
    return "vfs" if file_system in {"overlayfs", "overlay"} else "overlay"


def _packed(
    stream: IO[bytes], reference: str, present: Collection[str], file: Path
) -> Exception | None:
    """Pack, and give back what went wrong: buildah's own words, read later, say more."""
    try:
        pack(stream, reference, present, file)
    except (ValueError, KeyError, tarfile.TarError) as error:
        return error
    return None
