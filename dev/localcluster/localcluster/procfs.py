"""What /proc says about processes, mounts and sockets."""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
LISTEN_STATE = "0A"


@dataclass(frozen=True)
class Process:
    """A process as /proc/PID/stat shows it; start time and pid together are unique."""

    pid: int
    name: str
    state: str
    start_ticks: int

    @property
    def running(self) -> bool:
        """Whether it is more than the remains of an ended process."""
        return self.state not in ("Z", "X")


def parse_stat(text: str) -> Process:
    """Return the process of one /proc/PID/stat; its name may hold spaces and brackets."""
    before, _, after = text.rpartition(")")
    pid, _, name = before.partition(" (")
    fields = after.split()
    return Process(pid=int(pid), name=name, state=fields[0], start_ticks=int(fields[19]))


def read_process(pid: int, proc: Path = PROC) -> Process | None:
    """Return a process, or None when there is none with this id."""
    try:
        return parse_stat((proc / str(pid) / "stat").read_text())
    except (OSError, ValueError, IndexError):
        return None


def all_processes(proc: Path = PROC) -> list[Process]:
    """Return all running processes."""
    pids = (int(entry.name) for entry in proc.iterdir() if entry.name.isdigit())
    found = (read_process(pid, proc) for pid in pids)
    return [process for process in found if process is not None and process.running]


def environment_value(pid: int, variable: str, proc: Path = PROC) -> str | None:
    """Return a variable of the environment that a process was started with."""
    prefix = f"{variable}=".encode()
    try:
        content = (proc / str(pid) / "environ").read_bytes()
    except OSError:
        return None
    for item in content.split(b"\0"):
        if item.startswith(prefix):
            return item.removeprefix(prefix).decode(errors="replace")
    return None


def shares_namespace(pid: int, kind: str, proc: Path = PROC) -> bool:
    """Return whether a process is in this process's namespace of a kind (net, mnt, ...)."""
    try:
        theirs = (proc / str(pid) / "ns" / kind).readlink()
        return theirs == (proc / "self" / "ns" / kind).readlink()
    except OSError:
        return False


def parse_mount_points(mountinfo: str) -> list[str]:
    """Return the mount points in the text of /proc/self/mountinfo, oldest first."""
    points = (line.split(" ")[4] for line in mountinfo.splitlines() if line.strip())
    return [_unescape(point) for point in points]


def mounts_below(folder: Path, mount_points: list[str]) -> list[str]:
    """Return the mounts in a folder and below it, in the order in which to unmount them."""
    prefix = f"{folder}/"
    inside = [point for point in mount_points if point == str(folder) or point.startswith(prefix)]
    return list(reversed(inside))


def parse_listeners(table: str) -> dict[tuple[str, int], int]:
    """Return address and port -> socket inode for the listening sockets of /proc/net/tcp."""
    listeners = {}
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == LISTEN_STATE:
            address, _, port = fields[1].partition(":")
            listeners[(_address(address), int(port, 16))] = int(fields[9])
    return listeners


def socket_holder(inode: int, proc: Path = PROC) -> Process | None:
    """Return a process that has a socket open."""
    wanted = f"socket:[{inode}]"
    for process in all_processes(proc):
        try:
            for descriptor in (proc / str(process.pid) / "fd").iterdir():
                if str(descriptor.readlink()) == wanted:
                    return process
        except OSError:
            continue
    return None


def _address(field: str) -> str:
    if len(field) == 8:
        return socket.inet_ntoa(struct.pack("<I", int(field, 16)))
    words = struct.pack("<4I", *(int(field[at : at + 8], 16) for at in range(0, 32, 8)))
    return socket.inet_ntop(socket.AF_INET6, words)


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
