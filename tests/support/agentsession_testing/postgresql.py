"""A real PostgreSQL for tests: Debian's, on a socket and a port of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from agentsession_testing.serving import free_port

FOLDERS = Path("/usr/lib/postgresql")
USER = "orchestrator"


def postgresql_programs() -> Path | None:
    """The folder of the newest PostgreSQL's programs, or None where none is installed."""
    found = sorted(FOLDERS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).resolve().parent if elsewhere else None


@dataclass(frozen=True)
class PostgreSQL:
    """A running server."""

    port: int

    def url(self, database: str) -> str:
        """URL of a database, as the settings have it."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    async def execute(self, statement: str) -> None:
        """Runs a statement outside of any transaction, e.g. CREATE DATABASE."""
        connection: Any = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def _owner() -> str | None:
    # PostgreSQL refuses to run as root.
    if os.getuid() != 0:
        return None
    pwd.getpwnam("postgres")
    return "postgres"


@contextmanager
def running_postgresql(*, durable: bool = False) -> Iterator[PostgreSQL]:
    """A server that is gone at the end, with its files; `durable`: a commit waits for the disk."""
    programs = postgresql_programs()
    if programs is None:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
    owner, port = _owner(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-pg-"))
    try:
        if owner:
            shutil.chown(folder, owner, owner)
        data = folder / "data"
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "fsync": "on" if durable else "off",
            "max_connections": 60,
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        log = folder / "log"
        _run(owner, programs / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "-N")
        control = (programs / "pg_ctl", "-D", data, "-w", "-t", "60")
        _run(owner, *control, "-l", log, "-o", options, "start")
        try:
            yield PostgreSQL(port)
        finally:
            _run(owner, *control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _run(owner: str | None, *command: str | Path) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        user=owner,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stdout[-500:]} {done.stderr[-1500:]}")
