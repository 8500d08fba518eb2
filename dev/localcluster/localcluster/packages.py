"""Programs from Debian's archive that the cluster needs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster.commands import run
from localcluster.errors import ClusterError

POLICY_FILE = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = (
    "#!/bin/sh\n# No service starts while a development cluster's programs install.\nexit 101\n"
)
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
CNI_PLUGINS = ("ptp", "host-local", "loopback")
NEXT_STEP = "check the package sources (`apt-get update`), then run `make cluster` again"


@dataclass(frozen=True)
class Requirement:
    """A program and the Debian package that has it."""

    program: str
    package: str


REQUIREMENTS = (
    Requirement("containerd", "containerd"),
    Requirement("ctr", "containerd"),
    Requirement("runc", "runc"),
    Requirement("nft", "nftables"),
    Requirement("ip", "iproute2"),
    Requirement("mount", "mount"),
)


def cni_folder(folders: tuple[Path, ...] = CNI_FOLDERS) -> Path | None:
    """Return the folder that has the CNI plugins, if there is one."""
    for folder in folders:
        if all((folder / plugin).is_file() for plugin in CNI_PLUGINS):
            return folder
    return None


def link_cni_plugins(into: Path, packaged: Path, own: Mapping[str, Path]) -> None:
    """Make a folder with links to the package's plugins and to those that were built here.

    Links are replaced one by one and never missing meanwhile: pods may be starting.
    """
    into.mkdir(parents=True, exist_ok=True)
    wanted = {file.name: file for file in packaged.iterdir()} | dict(own)
    for name, target in wanted.items():
        link = into / name
        if not link.is_symlink() or link.readlink() != target:
            new = into / f".{name}.new"
            new.unlink(missing_ok=True)
            new.symlink_to(target)
            new.replace(link)
    for link in into.iterdir():
        if link.name not in wanted:
            link.unlink()


def missing_packages(
    which: Callable[[str], str | None] = shutil.which,
    find_cni: Callable[[], Path | None] = cni_folder,
) -> list[str]:
    """Return the Debian packages to install; a program that is there, from wherever, counts."""
    missing = [item.package for item in REQUIREMENTS if which(item.program) is None]
    if find_cni() is None:
        missing.append("containernetworking-plugins")
    return sorted(set(missing))


def install_packages(packages: list[str], log: Path) -> None:
    """Install Debian packages without starting the services in them.

    Raises:
        ClusterError: this is no Debian-like system, or apt failed.
    """
    if shutil.which("apt-get") is None:
        raise ClusterError(
            f"missing: {', '.join(packages)}, and there is no apt-get to install them with",
            next_step="use Debian 12, or CLUSTER=kind or CLUSTER=existing",
        )
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with services_kept_still(POLICY_FILE):
        run(["apt-get", "update"], environment=environment, log=log, next_step=NEXT_STEP)
        run(
            ["apt-get", "install", "--yes", "--no-install-recommends", *packages],
            environment=environment,
            log=log,
            next_step=NEXT_STEP,
        )


def unpack_package(package: str, folder: Path, log: Path) -> None:
    """Unpack a Debian package without installing it; a folder that is there is whole.

    Raises:
        ClusterError: it cannot be fetched.
    """
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        here = Path(name)
        run(["apt-get", "update"], log=log, next_step=NEXT_STEP)
        run(["apt-get", "download", package], directory=here, log=log, next_step=NEXT_STEP)
        [archive] = here.glob("*.deb")
        run(["dpkg-deb", "--extract", str(archive), str(here / "all")], log=log, next_step="")
        try:
            (here / "all").rename(folder)
        except OSError:
            # Another clone may have been faster.
            if not folder.exists():
                raise


@contextmanager
def services_kept_still(policy_file: Path) -> Iterator[None]:
    """Keep package installations from starting services, unless the machine has its own rule."""
    if policy_file.exists():
        yield
        return
    policy_file.write_text(POLICY_TEXT)
    policy_file.chmod(0o755)
    try:
        yield
    finally:
        policy_file.unlink(missing_ok=True)
