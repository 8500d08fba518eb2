from __future__ import annotations

import asyncio
import functools
import os
import sys
from pathlib import Path

import pytest

from agentsession_runner.processes import (
    ChildProcess,
    ProcessEntry,
    ProcessTable,
    descendants,
    parse_stat,
    read_process,
)
from agentsession_testing.serving import until_true

DEADLINE_SECONDS = 20.0
# A shell that ignores SIGTERM, above a child in a session of its own that does as well.
DEAF = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def test_stat_lines() -> None:
    tail = "S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2"
    assert parse_stat(f"42 (a) b (c)) {tail}") == ProcessEntry(42, 7, 987654)
    assert parse_stat("") is None
    assert parse_stat("42 (x) S") is None


def test_descendants_are_found_at_any_depth() -> None:
    tree = {2: 1, 3: 2, 4: 3, 5: 1, 6: 4}
    entries = [ProcessEntry(pid, parent, 0) for pid, parent in tree.items()]
    assert {entry.pid for entry in descendants(2, entries)} == {3, 4, 6}
    assert descendants(9, entries) == []


class Child:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.out = bytearray()
        self.err = bytearray()
        self.codes: list[int] = []

    async def start(self, table: ProcessTable, *command: str) -> ChildProcess:
        return await table.start(
            command,
            directory=self.directory,
            environment={"PATH": os.environ["PATH"]},
            on_stdout=self.out.extend,
            on_stderr=self.err.extend,
            on_end=self.codes.append,
        )


async def test_output_and_exit_code(tmp_path: Path) -> None:
    child = Child(tmp_path)
    process = await child.start(ProcessTable(), "sh", "-c", "pwd; cat; echo bad >&2; exit 3")
    process.write(b"given\n")
    process.close_stdin()
    assert await process.wait(DEADLINE_SECONDS)
    assert child.out.decode() == f"{tmp_path}\ngiven\n"
    assert child.err == b"bad\n"
    assert child.codes == [3]
    assert not process.is_running
    process.write(b"too late")
    await process.end()


async def test_the_end_does_not_wait_for_a_grandchild_that_holds_the_pipes(tmp_path: Path) -> None:
    child = Child(tmp_path)
    process = await child.start(ProcessTable(), "sh", "-c", "sleep 600 & echo $!")
    assert await process.wait(DEADLINE_SECONDS)
    assert child.codes == [0]
    await process.end()
    grandchild = int(child.out)
    await until_true(lambda: read_process(grandchild) is None, "the grandchild's end")


async def test_a_deaf_tree_is_killed(tmp_path: Path) -> None:
    child = Child(tmp_path)
    process = await child.start(ProcessTable(), sys.executable, "-c", DEAF)
    await until_true(lambda: child.out.endswith(b"\n"), "the grandchild's id")
    await process.end(grace_seconds=0.2)
    assert child.codes == [-9]
    grandchild = int(child.out)

    def gone() -> bool:
        try:
            stat = Path(f"/proc/{grandchild}/stat").read_text()
        except FileNotFoundError:
            return True
        # Only a PID 1 that collects its orphans makes it vanish.
        return stat.rpartition(")")[2].split()[0] == "Z"

    await until_true(gone, "the grandchild's end")


async def test_orphans_are_collected_and_own_children_left_to_asyncio(tmp_path: Path) -> None:
    table = ProcessTable()
    loop = asyncio.get_running_loop()
    table.adopt_orphans(loop)
    spawn = functools.partial(os.posix_spawnp, "true", ["true"], {"PATH": os.environ["PATH"]})
    orphan = await asyncio.to_thread(spawn)
    codes = []
    for code in (0, 5, 7):
        child = Child(tmp_path)
        process = await child.start(table, "sh", "-c", f"exit {code}")
        assert await process.wait(DEADLINE_SECONDS)
        codes += child.codes
        await process.end()
    await until_true(lambda: read_process(orphan) is None, "the orphan to be collected")
    assert codes == [0, 5, 7]


async def test_a_missing_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await Child(tmp_path).start(ProcessTable(), str(tmp_path / "nothing"))
