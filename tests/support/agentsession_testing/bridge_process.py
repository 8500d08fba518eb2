"""The bridge as a process of its own, between the Telegram stand-in, Valkey and an API server."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from agentsession_testing.serving import (
    free_port,
    plain_client,
    process_environment,
    until,
)
from agentsession_testing.telegram import TOKEN

NAMESPACE = "agents"
WEBHOOK_SECRET = "webhook-secret"


@dataclass
class BridgeProcess:
    """Starts, kills and starts again. `folder` holds its files and its log; `settings` are more of
    the configuration's `bridge`, `holder` is its name for the lease."""

    folder: Path
    telegram_url: str
    redis_url: str
    kubeconfig: Path
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    holder: str = "bridge-1"
    log_level: str = "INFO"
    token: str = TOKEN
    environment: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def allow(self, *users: int, groups: tuple[int, ...] = ()) -> None:
        """Write the list of those who are let in."""
        listed = {"allowedUsers": list(users), "allowedGroups": list(groups)}
        self._access.write_text(yaml.safe_dump(listed), encoding="utf-8")

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        await self.launch()
        # Importing alone takes half a minute on a machine with too much to do.
        await until(self.ready, "the bridge is ready", 180)

    async def launch(self) -> None:
        """Start it."""
        config = self.folder / "config.yaml"
        settings = {
            "sessionNamespaces": [NAMESPACE],
            "logLevel": self.log_level,
            "redis": {"url": self.redis_url},
            "bridge": {
                "port": self.port,
                "metricsPort": self.metrics_port,
                "telegram": {"apiURL": self.telegram_url},
                **self.settings,
            },
        }
        config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        secrets = self.folder / "secrets"
        secrets.mkdir(exist_ok=True)
        (secrets / "telegram-token").write_text(self.token, encoding="utf-8")
        (secrets / "telegram-webhook-secret").write_text(WEBHOOK_SECRET, encoding="utf-8")
        with self.log_file.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "agentsession_bridge", "--host", "127.0.0.1"),
                *(
                    "--config",
                    str(config),
                    "--secrets",
                    str(secrets),
                    "--access",
                    str(self._access),
                ),
                *("--holder", self.holder),
                env=process_environment(self.kubeconfig) | self.environment,
                stdout=log,
                stderr=log,
            )

    async def ready(self) -> bool:
        """Whether it says that it is ready; fails with its last words when it has ended."""
        if self.process is not None and self.process.returncode is not None:
            raise AssertionError(self.log()[-2000:])
        try:
            async with plain_client(base_url=f"http://127.0.0.1:{self.port}") as client:
                return (await client.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        async with plain_client(base_url=f"http://127.0.0.1:{self.metrics_port}") as client:
            lines = (await client.get("/metrics")).text.splitlines()
        found = [line for line in lines if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End it and return its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        code = await asyncio.wait_for(self.process.wait(), 20)
        self.process = None
        return code

    def log(self) -> str:
        """All it has printed."""
        return self.log_file.read_text(encoding="utf-8")

    @property
    def log_file(self) -> Path:
        return self.folder / "bridge.log"

    @property
    def _access(self) -> Path:
        return self.folder / "access.yaml"
