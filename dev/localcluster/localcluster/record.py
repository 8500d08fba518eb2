"""What the state folder says about the cluster in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

from localcluster.components import Programs
from localcluster.errors import ClusterError
from localcluster.settings import STATE_FORMAT, Paths

STATE_ENTRIES = frozenset(
    (
        *("bin", "cluster.json", "cni-addresses", "cni-plugins", "config"),
        *("containerd", "containerd-opt"),
        *("etcd", "kubeconfig", "kubelet", "log", "owner", "pids", "pki", "pod-logs"),
        *("sysctls.json", "volumes"),
    )
)


@dataclass(frozen=True)
class ClusterRecord:
    """A cluster that once came up: its format and the programs it runs."""

    state_format: int
    programs: dict[str, str]


def read_record(paths: Paths) -> ClusterRecord | None:
    """Return the record of the cluster in the state folder, if it can be used again."""
    try:
        record = ClusterRecord(**json.loads(paths.record.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return record if record.state_format == STATE_FORMAT else None


def write_record(paths: Paths, programs: Programs) -> None:
    """Record that the cluster came up; without this file the next `up` starts from nothing."""
    content = {
        "state_format": STATE_FORMAT,
        "programs": {name: str(path) for name, path in vars(programs).items()},
    }
    paths.record.write_text(json.dumps(content, indent=2) + "\n")


def recorded_programs(record: ClusterRecord) -> Programs | None:
    """Return the programs of a cluster; None if another version of this one has others."""
    if set(record.programs) != {field.name for field in fields(Programs)}:
        return None
    return Programs(**{name: Path(path) for name, path in record.programs.items()})


def read_owner(paths: Paths) -> Path | None:
    """Return the clone that made the cluster."""
    try:
        text = paths.owner.read_text().strip()
    except OSError:
        return None
    return Path(text) if text else None


def is_foreign(paths: Paths) -> bool:
    """Return whether another clone, one that still exists, made the cluster."""
    owner = read_owner(paths)
    return owner is not None and owner != paths.clone and owner.exists()


def claim_state(paths: Paths) -> None:
    """Make the state folder with this clone as its owner.

    Repairing another clone's cluster does not make it ours.

    Raises:
        ClusterError: the folder holds something else.
    """
    require_own_folder(paths)
    paths.state.mkdir(parents=True, exist_ok=True)
    # Anyone may follow the clone's link to programs and logs; keys are in folders of their own.
    paths.state.chmod(0o755)
    if not is_foreign(paths):
        paths.owner.write_text(f"{paths.clone}\n")


def require_own_folder(paths: Paths) -> None:
    """Refuse a state folder that is not a cluster's: it would be deleted by `down`.

    A folder that somebody has half deleted counts by what is left in it.

    Raises:
        ClusterError: the folder holds something else.
    """
    if not paths.state.is_dir() or paths.owner.exists():
        return
    if not {entry.name for entry in paths.state.iterdir()} <= STATE_ENTRIES:
        raise ClusterError(
            f"{paths.state} holds files that are not of a local cluster",
            next_step="point LOCALCLUSTER_STATE to a new folder, or empty this one",
        )


def link_state(paths: Paths) -> None:
    """Make `.cluster` in the clone a link to the state folder.

    Raises:
        ClusterError: something else has that name.
    """
    link = paths.link
    if link.is_symlink():
        if link.readlink() == paths.state:
            return
        link.unlink()
    elif link.exists():
        raise ClusterError(
            f"{link} is in the way: it should be a link to {paths.state}",
            next_step=f"move {link} away",
        )
    link.symlink_to(paths.state)


def unlink_state(paths: Paths) -> None:
    """Remove the clone's link to the state folder."""
    if paths.link.is_symlink():
        paths.link.unlink()
