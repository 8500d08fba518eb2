"""`orchestrator-api` as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from agentsession_testing.orchestrator import KEY
from agentsession_testing.service_process import ServiceProcess, killed_at_the_end
from agentsession_testing.serving import free_port, plain_client, process_environment

PROGRAM = (sys.executable, "-m", "orchestrator_api")


@dataclass(frozen=True)
class Installation:
    """A configuration and its secret files, as the chart mounts them."""

    folder: Path
    database_url: str
    redis_url: str
    port: int
    metrics_port: int

    @classmethod
    def new(cls, folder: Path, database_url: str, redis_url: str) -> Installation:
        """One in an empty folder, on ports of its own."""
        made = cls(folder, database_url, redis_url, free_port(), free_port())
        made.secrets.mkdir()
        made.put_secret("orchestrator-encryption-key", KEY)
        made.configure()
        return made

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def configure(self, **orchestrator: Any) -> None:
        """Writes the configuration; the arguments come before what a test needs anyway."""
        own = {
            "port": self.port,
            "metricsPort": self.metrics_port,
            "database": {"url": self.database_url},
        }
        settings = {"redis": {"url": self.redis_url}, "orchestrator": {**own, **orchestrator}}
        self.config.write_text(yaml.safe_dump(settings), encoding="utf-8")

    def put_secret(self, name: str, value: str) -> None:
        """Writes a secret file."""
        (self.secrets / name).write_text(value, encoding="utf-8")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            [*self._command, *arguments],
            env=process_environment(None),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @asynccontextmanager
    async def serving(
        self, *arguments: str, kubeconfig: Path | None = None
    ) -> AsyncIterator[Server]:
        """A server that is killed at the end."""
        command = (*self._command, "serve", "--host", "127.0.0.1", *arguments)
        async with killed_at_the_end(*command, kubeconfig=kubeconfig) as process:
            yield Server(process, self.port, self.metrics_port)

    @property
    def _command(self) -> tuple[str, ...]:
        return (*PROGRAM, "--config", str(self.config), "--secrets", str(self.secrets))


class Server(ServiceProcess):
    """A running `orchestrator-api serve`."""

    def client(self, token: str = "", **headers: str) -> httpx.AsyncClient:
        """A client with a token."""
        own = {"authorization": f"Bearer {token}"} if token else {}
        return plain_client(base_url=self.url, headers={**own, **headers}, timeout=20)
