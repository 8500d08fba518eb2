"""The base image on machines that can pull none: Debian trixie made by mmdebstrap."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from imagebuild.places import Places
from localcluster.commands import run
from localcluster.console import Reporter

SUITE = "trixie"
# As in Debian's own slim images: no manuals, no translations, no service started by a package.
OPTIONS = (
    "--variant=minbase",
    "--format=tar",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--customize-hook=printf '#!/bin/sh\\nexit 101\\n' > \"$1/usr/sbin/policy-rc.d\"",
    '--customize-hook=chmod 0755 "$1/usr/sbin/policy-rc.d"',
)


@dataclass(frozen=True)
class BaseArchive:
    """A root file system in a tar file."""

    file: Path
    sha256: str

    @property
    def reference(self) -> str:
        """The name of the image made of it."""
        return f"localhost/agentsession-base:{self.sha256[:16]}"


def base_file(places: Places) -> Path:
    """Return where the base is kept: the name holds everything that is asked of mmdebstrap."""
    recipe = hashlib.sha256("\n".join((*OPTIONS, SUITE)).encode()).hexdigest()
    return places.folder / f"base-{recipe[:16]}.tar"


def cached_base(places: Places) -> BaseArchive | None:
    """Return the base if there is one."""
    file = base_file(places)
    checksum = file.with_suffix(".sha256")
    if not (file.is_file() and checksum.is_file()):
        return None
    return BaseArchive(file, checksum.read_text().strip())


def make_base(places: Places, reporter: Reporter) -> BaseArchive:
    """Make the base and keep it.

    Raises:
        ClusterError: mmdebstrap failed.
    """
    file = base_file(places)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    reporter.starting(f"making the base image: Debian {SUITE} by mmdebstrap (about a minute)")
    with reporter.step(f"making Debian {SUITE}", f"Debian {SUITE} made"):
        run(
            ["mmdebstrap", *OPTIONS, SUITE, str(partial)],
            log=places.logs / "image-base.log",
            next_step="read the log; most often Debian's package mirror cannot be reached",
        )
        with partial.open("rb") as content:
            checksum = hashlib.file_digest(content, "sha256").hexdigest()
        # The checksum last: without it a base is not complete.
        file.with_suffix(".sha256").unlink(missing_ok=True)
        partial.replace(file)
        file.with_suffix(".sha256").write_text(checksum + "\n")
    return BaseArchive(file, checksum)
