"""Processes and memory of a container, read inside of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

KIBIBYTE = 1024
# utime, stime and the like come after the name in brackets; the start time is field 22 of the line.
_START_FIELD = 22 - 3

# Runs in the container after what was measured: the offset between its two clocks, and who runs.
TIMES_PROGRAM = """
import json, os, pathlib, time
stats = []
for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
    try:
        stats.append(path.read_text())
    except OSError:
        pass
boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
print(json.dumps({"boot": boot, "ticks": os.sysconf("SC_CLK_TCK"), "stats": stats}))
"""

# In the images of operator, gateway, Redis and agents alike; cgroup versions 1 and 2.
MEMORY_PROGRAM = """
for file in /proc/[0-9]*/status; do cat "$file"; echo; done 2>/dev/null
for file in /sys/fs/cgroup/memory.current /sys/fs/cgroup/memory/memory.usage_in_bytes; do
  if [ -r "$file" ]; then echo "CgroupUsage: $(cat "$file")"; fi
done
for file in /sys/fs/cgroup/memory.stat /sys/fs/cgroup/memory/memory.stat; do
  if [ -r "$file" ]; then sed -n 's/^\\(total_\\)\\{0,1\\}inactive_file /CgroupInactive: /p' "$file"; fi
done
"""


@dataclass(frozen=True)
class Process:
    """A process of the container. `started_at` is Unix seconds, exact to one tick (10 ms)."""

    pid: int
    name: str
    started_at: float


@dataclass(frozen=True)
class Memory:
    """Memory of a container in bytes.

    `resident` is each program's largest process; `working_set` is what Kubernetes counts against the
    limit (the cgroup's use without inactive file pages), None where it cannot be read.
    """

    resident: dict[str, int]
    working_set: int | None


def read_process(stat: str, boot: float, ticks: int) -> Process:
    """One line of /proc/<pid>/stat. `boot` is the Unix time of the boot clock's zero.

    Raises:
        ValueError: it is no such line.
    """
    match = re.match(r"(\d+) \((.*)\) (.+)", stat.strip(), re.DOTALL)
    fields = match.group(3).split() if match else []
    if match is None or len(fields) <= _START_FIELD:
        raise ValueError(f"no line of /proc/<pid>/stat: {stat[:80]!r}")
    return Process(int(match.group(1)), match.group(2), boot + int(fields[_START_FIELD]) / ticks)


def read_processes(output: str) -> list[Process]:
    """What TIMES_PROGRAM printed. Raises ValueError."""
    seen = json.loads(output)
    return [read_process(stat, seen["boot"], seen["ticks"]) for stat in seen["stats"]]


def first_start(processes: list[Process], name: str) -> float | None:
    """When the first process of this name started; None if there is none."""
    return min((p.started_at for p in processes if p.name == name), default=None)


def read_memory(output: str) -> Memory:
    """What MEMORY_PROGRAM printed."""
    resident: dict[str, int] = {}
    for block in output.split("\n\n"):
        name = re.search(r"^Name:\s+(.+)$", block, re.MULTILINE)
        size = re.search(r"^VmRSS:\s+(\d+) kB$", block, re.MULTILINE)
        if name and size:
            program = name.group(1)
            resident[program] = max(resident.get(program, 0), int(size.group(1)) * KIBIBYTE)
    usage = re.search(r"^CgroupUsage: (\d+)$", output, re.MULTILINE)
    # Version 1 counts the cgroup itself and, as total_, all below it: the later, larger one holds.
    inactive = re.findall(r"^CgroupInactive: (\d+)$", output, re.MULTILINE)
    working = int(usage.group(1)) - max(map(int, inactive)) if usage and inactive else None
    return Memory(resident, working)
