"""Where figures were made: nobody can read them without it."""

from __future__ import annotations

import os
import platform
import sqlite3
from pathlib import Path
from typing import Final

from agentsession_testing.postgresql import postgresql_programs
from workbench.bench.commit import commit_of
from workbench.commands import run
from workbench.rates.ground import SQLITE

CLONE: Final = Path(__file__).resolve().parents[4]


def version_of(kind: str) -> str:
    """A database's name and version. Raises WorkbenchError."""
    if kind == SQLITE:
        return f"{SQLITE} {sqlite3.sqlite_version}"
    programs = postgresql_programs()
    said = run([str(programs / "postgres"), "--version"]) if programs else ""
    # e.g. `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`
    return f"{kind} {' '.join(said.split()[2:3])}".strip()


def machine_sentence() -> str:
    """For the head of a report. Raises WorkbenchError."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, kernel {platform.release()} "
        f"({platform.machine()}), Python {platform.python_version()}, commit {commit_of(CLONE)}"
    )
