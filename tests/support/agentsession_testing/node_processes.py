"""Processes of pods on the local cluster's node, which is this machine: for kill -9 from outside."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest


def of_pod(uid: str) -> Iterator[tuple[int, str]]:
    """(process id, command line) of everything that runs in a pod, oldest first."""
    marks = (uid, uid.replace("-", "_"))
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        with suppress(OSError):
            if any(mark in (folder / "cgroup").read_text() for mark in marks):
                command = (
                    (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                yield int(folder.name), command


def kill(uid: str, word: str) -> bool:
    """SIGKILL to the pod's oldest process with that word in its command line; False if none has."""
    for pid, command in of_pod(uid):
        if word in command:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
    return False


def require_local_node() -> None:
    """Skips where the cluster's node is another machine."""
    if os.environ.get("CLUSTER", "local") != "local" or os.geteuid() != 0:
        pytest.skip("only the local cluster's processes can be killed from here")
