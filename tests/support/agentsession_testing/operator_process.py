"""The operator as a process of its own, against an API server and a Valkey of the test."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from agentsession_testing.operator_worlds import IMAGES
from agentsession_testing.serving import free_port, until

NAMESPACE = "agents"
START_SECONDS = 60.0


@dataclass
class OperatorProcess:
    """One operator; `start` and `kill` as often as a test likes. Its log goes on."""

    folder: Path
    settings: dict[str, Any]
    environment: dict[str, str]
    prefix: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> Path:
        return self.folder / "operator.log"

    @property
    def said(self) -> str:
        """Everything it wrote so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    async def start(self) -> None:
        """Starts it; it need not be ready."""
        operator = {"port": self.port, "metricsPort": free_port()}
        settings = {**self.settings, "operator": {**operator, **self.settings.get("operator", {})}}
        config = self.folder / "config.yaml"
        config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.prefix,
                *(sys.executable, "-m", "agentsession_operator"),
                *("--config", str(config), "--secrets", str(self.folder)),
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
            )

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends it and waits for that."""
        process, self.process = self.process, None
        if process is not None and process.returncode is None:
            process.send_signal(number)
            await asyncio.wait_for(process.wait(), 20)

    async def readiness(self) -> tuple[int, str]:
        """Status and text of /readyz; (0, '') before it listens."""
        assert self.process is not None
        assert self.process.returncode is None, "the operator has ended"
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                answer = await client.get(f"http://127.0.0.1:{self.port}/readyz")
            except httpx.TransportError:
                return 0, ""
        return answer.status_code, answer.text

    async def ready(self) -> None:
        """Waits until it says that it is ready."""

        async def says_so() -> bool:
            return (await self.readiness())[0] == 200

        await until(says_so, "the operator is ready", START_SECONDS)


def operator_settings(redis_url: str, **operator: Any) -> dict[str, Any]:
    """A release's configuration; `operator` are the operator's own settings."""
    return {
        "redis": {"url": redis_url},
        "sessionNamespaces": [NAMESPACE],
        "agentImages": {kind.value: {"image": image.image} for kind, image in IMAGES.items()},
        "operator": operator,
    }


@asynccontextmanager
async def running_operator(
    folder: Path,
    settings: dict[str, Any],
    environment: Mapping[str, str],
    prefix: tuple[str, ...] = (),
) -> AsyncIterator[OperatorProcess]:
    """An operator that has been started; a failed assertion is told with the end of its log."""
    operator = OperatorProcess(folder, settings, dict(environment), prefix)
    await operator.start()
    try:
        yield operator
    except AssertionError as error:
        raise AssertionError(f"{error}\n{operator.said[-6000:]}") from error
    finally:
        await operator.end(signal.SIGTERM)
