"""Starting, recognizing and ending the cluster's processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from localcluster.components import Component
from localcluster.errors import ClusterError
from localcluster.procfs import Process, all_processes, environment_value, read_process
from localcluster.settings import PROCESS_MARKER, Paths
from localcluster.waiting import wait_for

TERM_SECONDS = 5.0
KILL_SECONDS = 10.0


@dataclass(frozen=True)
class PidFile:
    """What is remembered of a started process."""

    pid: int
    start_ticks: int
    fingerprint: str


def fingerprint(component: Component) -> str:
    """Return a hash of all that a component is started from: program, arguments, files."""
    digest = hashlib.sha256()
    program = Path(component.argv[0]).stat()
    digest.update(repr((component.argv, program.st_size, program.st_mtime_ns)).encode())
    digest.update(repr(sorted(component.environment.items())).encode())
    for path in component.inputs:
        digest.update(path.read_bytes())
    return digest.hexdigest()


class ProcessTable:
    """The cluster's processes, found again by their pid files."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def running(self, name: str) -> PidFile | None:
        """Return a component's process if it still runs."""
        remembered = self._read(name)
        if remembered is None:
            return None
        process = read_process(remembered.pid)
        alive = process is not None and process.running
        if not alive or process is None or process.start_ticks != remembered.start_ticks:
            return None
        return remembered

    def is_current(self, component: Component) -> bool:
        """Return whether a component runs with exactly this command and these files."""
        running = self.running(component.name)
        return running is not None and running.fingerprint == fingerprint(component)

    def log(self, name: str) -> Path:
        """Return the path of a component's log."""
        return self._paths.logs / f"{name}.log"

    def start(self, component: Component) -> None:
        """Start a component so that it outlives this program; end an outdated one first."""
        running = self.running(component.name)
        if running is not None:
            end_processes([running.pid])
        self._paths.logs.mkdir(parents=True, exist_ok=True)
        inherited = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        marker = {PROCESS_MARKER: str(self._paths.state)}
        with self.log(component.name).open("a") as log:
            started = subprocess.Popen(
                component.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._paths.state,
                env=inherited | component.environment | marker,
                start_new_session=True,
            )
        # Waited for in `running`, through /proc; the process belongs to init once we are gone.
        process = read_process(started.pid)
        ticks = process.start_ticks if process is not None else 0
        self._write(component.name, PidFile(started.pid, ticks, fingerprint(component)))

    def _file(self, name: str) -> Path:
        return self._paths.state / "pids" / f"{name}.json"

    def _read(self, name: str) -> PidFile | None:
        try:
            return PidFile(**json.loads(self._file(name).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def _write(self, name: str, content: PidFile) -> None:
        file = self._file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(content)))


def marked_processes(state: Path) -> list[Process]:
    """Return all processes, known or forgotten, that were started for a state folder."""
    return [
        process
        for process in all_processes()
        if environment_value(process.pid, PROCESS_MARKER) == str(state)
        and process.pid != os.getpid()
    ]


def is_shim(process: Process) -> bool:
    """Return whether a process is containerd's keeper of one pod's containers."""
    return process.name.startswith("containerd-shim")


def forgotten(processes: Iterable[Process], known_pids: Iterable[int]) -> list[Process]:
    """Return those of our processes that no pid file knows; shims belong to containerd."""
    known = set(known_pids)
    return [item for item in processes if item.pid not in known and not is_shim(item)]


def end_processes(pids: Sequence[int], *, patiently: bool = True) -> None:
    """End processes: politely first, unless told otherwise, then by force.

    Raises:
        ClusterError: one did not end, for instance because it hangs in the kernel.
    """
    present = [item for pid in pids if (item := read_process(pid)) is not None and item.running]

    def all_gone() -> bool:
        return not any(_still_there(process) for process in present)

    if patiently:
        _signal(present, signal.SIGTERM)
        if _within(all_gone, TERM_SECONDS):
            return
    _signal([process for process in present if _still_there(process)], signal.SIGKILL)
    names = ", ".join(f"{process.name} ({process.pid})" for process in present)
    wait_for(f"processes ended: {names}", all_gone, seconds=KILL_SECONDS)


def _still_there(process: Process) -> bool:
    now = read_process(process.pid)
    return now is not None and now.running and now.start_ticks == process.start_ticks


def _signal(processes: Iterable[Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _within(condition: Callable[[], bool], seconds: float) -> bool:
    try:
        wait_for("processes ended", condition, seconds=seconds)
    except ClusterError:
        return False
    return True
