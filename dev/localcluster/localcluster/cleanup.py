"""Removing everything of a cluster from the machine, whatever state it is in."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

from localcluster import cgroups, network
from localcluster.commands import run
from localcluster.processes import end_processes, is_shim, marked_processes
from localcluster.procfs import all_processes, mounts_below, parse_mount_points
from localcluster.settings import Settings

MOUNT_TABLE = Path("/proc/self/mountinfo")
CNI_RESULTS = Path("/var/lib/cni/results")
CONTAINER_LOG_LINKS = Path("/var/log/containers")
KUBELET_FOLDER = Path("/var/lib/kubelet")
SYSCTL_RECORD = "sysctls.json"
# Programs that rely on the kernel parameters which the cluster has set.
OTHER_CONTAINER_PROGRAMS = ("dockerd", "containerd", "kubelet", "podman")


def remove_everything(settings: Settings) -> None:
    """Remove processes, pods, mounts, network, control groups and the state folder.

    Raises:
        ClusterError: a process does not end or a mount cannot be removed.
    """
    end_all_processes(settings)
    for folder in (settings.paths.run, settings.paths.state):
        unmount_below(folder)
    network.delete_links(settings.network)
    if shutil.which("nft") is not None:
        network.delete_tables(settings.network)
    cgroups.remove_group()
    restore_sysctls(settings)
    remove_traces(settings)
    for folder in (settings.paths.run, settings.paths.state):
        if folder.exists():
            shutil.rmtree(folder)


def end_all_processes(settings: Settings) -> None:
    """End the cluster's processes, then what runs in its pods.

    The kubelet goes first: it would start the pods again.
    """
    ours = marked_processes(settings.paths.state)
    components = [process for process in ours if not is_shim(process)]
    end_processes([process.pid for process in components], patiently=False)
    shims = [process.pid for process in marked_processes(settings.paths.state)]
    end_processes([*shims, *cgroups.group_processes()], patiently=False)


def unmount_below(folder: Path) -> None:
    """Remove all mounts in a folder: volumes, pods' roots, network namespaces."""
    for point in mounts_below(folder, parse_mount_points(MOUNT_TABLE.read_text())):
        run(
            ["umount", "--lazy", "--no-mtab", point],
            next_step="see who uses it with `fuser -vm`, then run `make cluster-down` again",
        )


def record_sysctls(settings: Settings) -> None:
    """Remember kernel parameters as they were before the cluster first changed them."""
    record = settings.paths.state / SYSCTL_RECORD
    if not record.exists():
        record.write_text(json.dumps(network.read_sysctls()))


def restore_sysctls(settings: Settings) -> None:
    """Put kernel parameters back, unless some other container program may rely on them."""
    record = settings.paths.state / SYSCTL_RECORD
    if not record.exists():
        return
    if any(process.name in OTHER_CONTAINER_PROGRAMS for process in all_processes()):
        return
    # A record that was cut off in writing does not say what there was.
    with contextlib.suppress(ValueError):
        network.write_sysctls(json.loads(record.read_text()))


def remove_traces(settings: Settings) -> None:
    """Remove what components write outside of the state folder and cannot be told not to."""
    for result in _entries(CNI_RESULTS):
        if str(settings.paths.run) in result.read_text():
            result.unlink(missing_ok=True)
    for link in _entries(CONTAINER_LOG_LINKS):
        if link.is_symlink() and str(link.readlink()).startswith(f"{settings.paths.state}/"):
            link.unlink(missing_ok=True)
    # Removed only when nothing of another kubelet is in it.
    device_plugins = KUBELET_FOLDER / "device-plugins"
    if [item.name for item in _entries(KUBELET_FOLDER)] == [device_plugins.name]:
        for name in ("kubelet.sock", "kubelet_internal_checkpoint", "DEPRECATION"):
            (device_plugins / name).unlink(missing_ok=True)
    for folder in (
        CNI_RESULTS,
        CNI_RESULTS.parent,
        CONTAINER_LOG_LINKS,
        device_plugins,
        KUBELET_FOLDER,
    ):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
