"""Child processes: a process group per CLI, its whole tree for the end, orphans for PID 1."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
STDOUT = 1
RETRY_REAP_SECONDS = 0.05
# A CLI that is asked to end stops its tools first; 0.25 s was seen.
TERMINATE_GRACE_SECONDS = 2.0
KILL_GRACE_SECONDS = 5.0
LAST_OUTPUT_SECONDS = 0.5


class UnkillableError(Exception):
    """A process outlived SIGKILL: it hangs in the kernel, most likely on the volume."""


@dataclass(frozen=True)
class ProcessEntry:
    """A process by its id and start time: together they never come back."""

    pid: int
    parent: int
    started: int


def parse_stat(text: str) -> ProcessEntry | None:
    """One `/proc/<pid>/stat`; the name in it may hold spaces and parentheses."""
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    try:
        return ProcessEntry(int(head.split(" ", 1)[0]), int(fields[1]), int(fields[19]))
    except (IndexError, ValueError):
        return None


def descendants(root: int, entries: Sequence[ProcessEntry]) -> list[ProcessEntry]:
    """The processes below `root`, without it."""
    children: dict[int, list[ProcessEntry]] = {}
    for entry in entries:
        children.setdefault(entry.parent, []).append(entry)
    found: list[ProcessEntry] = []
    waiting = [root]
    while waiting:
        below = children.pop(waiting.pop(), [])
        found += below
        waiting += [entry.pid for entry in below]
    return found


def read_processes(proc: Path = PROC) -> list[ProcessEntry]:
    """All processes that can be seen."""
    entries = []
    for path in proc.iterdir():
        if path.name.isdigit():
            entry = read_process(int(path.name), proc)
            if entry is not None:
                entries.append(entry)
    return entries


def read_process(pid: int, proc: Path = PROC) -> ProcessEntry | None:
    """One process, or None if it is gone."""
    try:
        return parse_stat((proc / str(pid) / "stat").read_text(errors="replace"))
    except OSError:
        return None


class ProcessTable:
    """The runner's own children, and the collection of children that PID 1 inherits."""

    def __init__(self) -> None:
        self._own: set[int] = set()
        self._starting = 0
        self._retry: asyncio.TimerHandle | None = None

    def adopt_orphans(self, loop: asyncio.AbstractEventLoop) -> None:
        """Collect every inherited child that ends; needed as PID 1, harmless otherwise."""
        loop.add_signal_handler(signal.SIGCHLD, self._reap, loop)
        self._reap(loop)

    async def start(
        self,
        command: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str],
        on_stdout: Callable[[bytes], None],
        on_stderr: Callable[[bytes], None],
        on_end: Callable[[int], None],
    ) -> ChildProcess:
        """Start a process in a session and group of its own.

        `on_end` is called with the exit code once the process ended and its output is read.

        Raises:
            OSError: the program cannot be started.
        """
        loop = asyncio.get_running_loop()
        # The orphan collector must not take a child whose id it does not know yet.
        self._starting += 1
        try:
            transport, protocol = await loop.subprocess_exec(
                lambda: _ChildProtocol(on_stdout, on_stderr, on_end, self._own.discard),
                *command,
                cwd=directory,
                env=dict(environment),
                start_new_session=True,
            )
            self._own.add(transport.get_pid())
        finally:
            self._starting -= 1
        if protocol.exited.is_set():
            self._own.discard(transport.get_pid())
        return ChildProcess(transport, protocol, read_process(transport.get_pid()))

    def _reap(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            try:
                state = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if state is None:
                return
            if self._starting or state.si_pid in self._own:
                # asyncio collects this one; it hides others until then.
                if self._retry is not None:
                    self._retry.cancel()
                self._retry = loop.call_later(RETRY_REAP_SECONDS, self._reap, loop)
                return
            with suppress(ChildProcessError):
                os.waitpid(state.si_pid, os.WNOHANG)


class _ChildProtocol(asyncio.SubprocessProtocol):
    def __init__(
        self,
        on_stdout: Callable[[bytes], None],
        on_stderr: Callable[[bytes], None],
        on_end: Callable[[int], None],
        on_collected: Callable[[int], None],
    ) -> None:
        self._outputs = {1: on_stdout, 2: on_stderr}
        self._on_end = on_end
        self._on_collected = on_collected
        self._transport: asyncio.SubprocessTransport | None = None
        self.exited = asyncio.Event()
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.SubprocessTransport):
            self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        self._outputs[fd](data if isinstance(data, bytes) else data.encode())

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == STDOUT and not self.exited.is_set():
            # It can say nothing any more, and nobody would learn that its turn is over.
            asyncio.get_running_loop().call_later(LAST_OUTPUT_SECONDS, self._kill_mute)

    def _kill_mute(self) -> None:
        if self._transport is None or self.exited.is_set():
            return
        tree = descendants(self._transport.get_pid(), read_processes())
        with suppress(ProcessLookupError):
            self._transport.kill()
        for entry in tree:
            _kill_same(entry)

    def process_exited(self) -> None:
        self.exited.set()
        if self._transport is not None:
            self._on_collected(self._transport.get_pid())
        # A process left behind may hold the pipes open for ever.
        asyncio.get_running_loop().call_later(LAST_OUTPUT_SECONDS, self._finish)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()

    def _finish(self) -> None:
        if not self.ended.is_set():
            self.ended.set()
            code = self._transport.get_returncode() if self._transport is not None else None
            self._on_end(-1 if code is None else code)


class ChildProcess:
    """A running child and its end."""

    def __init__(
        self,
        transport: asyncio.SubprocessTransport,
        protocol: _ChildProtocol,
        entry: ProcessEntry | None,
    ) -> None:
        self._transport = transport
        self._protocol = protocol
        self._entry = entry

    @property
    def pid(self) -> int:
        """The process id, also its group's."""
        return self._transport.get_pid()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return not self._protocol.exited.is_set()

    def write(self, data: bytes) -> None:
        """Queue bytes for its stdin; lost if it has closed it."""
        pipe = self._transport.get_pipe_transport(0)
        if isinstance(pipe, asyncio.WriteTransport) and not pipe.is_closing():
            pipe.write(data)

    def close_stdin(self) -> None:
        """Say that nothing more comes."""
        pipe = self._transport.get_pipe_transport(0)
        if isinstance(pipe, asyncio.WriteTransport):
            pipe.close()

    async def wait(self, seconds: float) -> bool:
        """Wait for its end and for its last output; returns whether it has ended."""
        try:
            async with asyncio.timeout(seconds):
                await self._protocol.ended.wait()
        except TimeoutError:
            return False
        return True

    async def end(self, grace_seconds: float = TERMINATE_GRACE_SECONDS) -> None:
        """End it and everything below it: SIGTERM to its group, then SIGKILL to the whole tree.

        Tools may run in sessions of their own, where a signal to the CLI's group does not arrive.

        Raises:
            UnkillableError: it did not end.
        """
        tree = descendants(self.pid, read_processes())
        if self.is_running:
            self._signal_group(signal.SIGTERM)
            if not await self.wait(grace_seconds):
                tree = _merge(tree, descendants(self.pid, read_processes()))
        self._signal_group(signal.SIGKILL)
        for entry in tree:
            _kill_same(entry)
        if not await self.wait(KILL_GRACE_SECONDS):
            raise UnkillableError(f"process {self.pid} did not end after SIGKILL")
        # Something that escaped the tree may hold the pipes open: nobody waits for it.
        self._transport.close()

    def _signal_group(self, number: signal.Signals) -> None:
        leader = read_process(self.pid)
        if leader is not None and leader != self._entry and not self.is_running:
            # The id belongs to a stranger by now.
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _merge(first: list[ProcessEntry], second: list[ProcessEntry]) -> list[ProcessEntry]:
    return list({(entry.pid, entry.started): entry for entry in [*first, *second]}.values())


def _kill_same(entry: ProcessEntry) -> None:
    now = read_process(entry.pid)
    if now is not None and now.started == entry.started:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(entry.pid, signal.SIGKILL)
