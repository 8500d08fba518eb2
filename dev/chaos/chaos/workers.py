"""Operator and gateway as processes that are started again whenever they end, as a Deployment does."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

RESTART_SECONDS: Final = 0.2


@dataclass
class Worker:
    """One process of the product. `own_ends` counts ends that no fault asked for."""

    name: str
    module: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    ready_url: str
    starts: int = 0
    own_ends: list[str] = field(default_factory=list)
    _process: asyncio.subprocess.Process | None = None
    _killed: bool = False

    async def run(self) -> None:
        """Keeps it running until cancelled; then it is killed."""
        try:
            while True:
                code = await self._run_once()
                if not self._killed:
                    self.own_ends.append(f"{self.name} ended by itself with exit code {code}")
                self._killed = False
                await asyncio.sleep(RESTART_SECONDS)
        finally:
            self.kill()

    async def _run_once(self) -> int:
        with self.log.open("ab") as log:
            self._process = process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self.module, *self.arguments),
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
            )
        self.starts += 1
        return await process.wait()

    async def is_ready(self) -> bool:
        """Whether it says so itself."""
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
                return (await client.get(self.ready_url)).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> bool:
        """SIGKILL; False if it is not running just now."""
        process = self._process
        if process is None or process.returncode is not None:
            return False
        self._killed = True
        with suppress(ProcessLookupError):
            process.kill()
            return True
        return False


def write_config(path: Path, settings: dict[str, Any]) -> Path:
    """The release's configuration file."""
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path
