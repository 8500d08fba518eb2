"""The cluster's own control group: its pods' processes are found there, whoever their parent."""

from __future__ import annotations

import contextlib
from pathlib import Path

from localcluster.rendering import CGROUP_NAME

CGROUP_FILESYSTEM = Path("/sys/fs/cgroup")


def hierarchies(filesystem: Path = CGROUP_FILESYSTEM) -> list[Path]:
    """Return the roots of all hierarchies: one with version 2, one per controller with 1."""
    if (filesystem / "cgroup.controllers").exists():
        return [filesystem]
    controllers = (path for path in filesystem.iterdir() if not path.is_symlink())
    return sorted(path for path in controllers if (path / "cgroup.procs").exists())


def create_group(filesystem: Path = CGROUP_FILESYSTEM) -> None:
    """Make the cluster's group in every hierarchy; the kubelet wants to find it there."""
    for root in hierarchies(filesystem):
        controllers = root / "cgroup.controllers"
        if controllers.exists() and root == filesystem:
            _delegate(root, controllers.read_text().split())
        (root / CGROUP_NAME).mkdir(exist_ok=True)


def group_processes(filesystem: Path = CGROUP_FILESYSTEM) -> list[int]:
    """Return the ids of all processes of pods."""
    pids: set[int] = set()
    for root in hierarchies(filesystem):
        for file in (root / CGROUP_NAME).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                pids.update(int(line) for line in file.read_text().split())
    return sorted(pids)


def remove_group(filesystem: Path = CGROUP_FILESYSTEM) -> None:
    """Remove the emptied groups, the innermost first."""
    for root in hierarchies(filesystem):
        top = root / CGROUP_NAME
        if not top.exists():
            continue
        folders = [path for path in top.rglob("*") if path.is_dir()]
        for folder in [*sorted(folders, key=lambda path: -len(path.parts)), top]:
            folder.rmdir()


def _delegate(root: Path, controllers: list[str]) -> None:
    for controller in controllers:
        # One that cannot be given to groups (it may be in use) is not needed by the kubelet.
        with contextlib.suppress(OSError):
            (root / "cgroup.subtree_control").write_text(f"+{controller}")
