"""The process ground: real servers, the product's real processes, runners instead of pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis

from agentsession_core import naming
from agentsession_core.mailbox.connect import connect
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.api_server import ADMIN_TOKEN
from agentsession_testing.kubeconfig import write_kubeconfig
from agentsession_testing.runner_process import RUNNER_PATH, fake_cli
from agentsession_testing.serving import free_port
from chaos.kube import Body, Kube
from chaos.ledger import Ledger
from chaos.node import Node
from chaos.proxied import FaultyApi
from chaos.servers import ControlPlane, RedisServer
from chaos.workers import Worker, write_config

NAMESPACE: Final = "agents"
READY_SECONDS: Final = 180.0
# Short, so that a run of minutes sees many of each.
OPERATOR: Final[dict[str, Any]] = {
    "backoffBaseSeconds": 0.5,
    "backoffLimitSeconds": 4,
    "sweepSeconds": 3,
    "antiEntropySeconds": 20,
    "drainGraceSeconds": 10,
    "helloTimeoutSeconds": 30,
}
# A turn of the stand-in takes up to so many seconds, so that faults fall into turns.
TURN_SECONDS: Final = 1.5


@dataclass
class Ground:
    """Everything a fault can hit and a check can ask."""

    folder: Path
    control: ControlPlane
    redis_server: RedisServer
    api: FaultyApi
    kube: Kube
    redis: Redis
    store: MailboxStore
    node: Node
    operators: list[Worker]
    gateway: Worker

    @property
    def workers(self) -> list[Worker]:
        return [*self.operators, self.gateway]

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def objects(self, plural: str) -> str:
        """The path of a kind in the session namespace."""
        return f"{_API[plural]}/namespaces/{NAMESPACE}/{plural}"


_API: Final = {
    "pods": "/api/v1",
    "persistentvolumeclaims": "/api/v1",
    "jobs": "/apis/batch/v1",
    naming.SESSION_PLURAL: f"/apis/{naming.API_VERSION}",
}


@asynccontextmanager
async def process_ground(
    folder: Path, program: str, seed: int, operators: int, ledger: Ledger
) -> AsyncIterator[Ground]:
    """A ground that is up; `program` is the local cluster's, with all of the control plane in it."""
    (folder / "logs").mkdir(parents=True)
    control = ControlPlane(folder / "control-plane", program)
    async with AsyncExitStack() as stack:
        stack.callback(control.stop)
        await asyncio.to_thread(control.start)
        redis_server = RedisServer(folder / "redis")
        stack.callback(redis_server.kill)
        await redis_server.start()
        kube = Kube(control.server.url, ADMIN_TOKEN)
        stack.push_async_callback(kube.close)
        await _install(control, kube)
        api = FaultyApi(control.server.url, seed)
        await stack.enter_async_context(api.serving())
        redis = await stack.enter_async_context(connect(redis_server.url, None))
        node = Node(kube, NAMESPACE, folder, _container_environment(folder), _overlap_of(ledger))
        settings = _settings(redis_server)
        ground = Ground(
            folder=folder,
            control=control,
            redis_server=redis_server,
            api=api,
            kube=kube,
            redis=redis,
            store=MailboxStore(redis),
            node=node,
            operators=[
                _worker("operator", number, folder, settings, api.url)
                for number in range(operators)
            ],
            gateway=_worker("gateway", 0, folder, settings, api.url, "--host", "127.0.0.1"),
        )
        tasks = [asyncio.create_task(worker.run()) for worker in ground.workers]
        tasks.append(asyncio.create_task(node.run()))
        stack.push_async_callback(_end, tasks)
        await _wait_ready(ground, tasks)
        yield ground


async def _install(control: ControlPlane, kube: Kube) -> None:
    control.server.install(NAMESPACE)
    account = {"metadata": {"name": naming.RUNNER_SERVICE_ACCOUNT}}
    await kube.call("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)


def _container_environment(folder: Path) -> dict[str, str]:
    programs = folder / "programs"
    programs.mkdir()
    cli = fake_cli(programs)
    cli.with_name("pace").write_text(str(TURN_SECONDS), encoding="utf-8")
    return {"AGENTSESSION_CLI": str(cli), "PYTHONPATH": str(RUNNER_PATH)}


def _overlap_of(ledger: Ledger) -> Callable[[str, str], None]:
    def write_down(workspace: str, what: str) -> None:
        ledger.violate("one pod on a workspace", workspace, what)

    return write_down


def _settings(redis_server: RedisServer) -> Body:
    port = free_port()
    return {
        "redis": {"url": redis_server.url},
        "sessionNamespaces": [NAMESPACE],
        "agentImages": {"claude-code": {"image": "chaos.invalid/agent:1"}},
        "gateway": {
            "url": f"http://127.0.0.1:{port}",
            "port": port,
            "metricsPort": free_port(),
        },
    }


def _worker(
    part: str, number: int, folder: Path, settings: Body, api_url: str, *arguments: str
) -> Worker:
    name = f"{part}-{number}"
    own = {**OPERATOR, "port": free_port(), "metricsPort": free_port()}
    config = write_config(folder / f"{name}.yaml", {**settings, "operator": own})
    kubeconfig = write_kubeconfig(folder / f"{name}.kubeconfig", api_url, ADMIN_TOKEN)
    return Worker(
        name=name,
        module=f"agentsession_{part}",
        arguments=("--config", str(config), "--secrets", str(folder / "secrets"), *arguments),
        environment={"KUBECONFIG": str(kubeconfig)},
        log=folder / "logs" / f"{name}.log",
        ready_url=f"http://127.0.0.1:{(own if part == 'operator' else settings['gateway'])['port']}/readyz",
    )


async def _wait_ready(ground: Ground, tasks: list[asyncio.Task[None]]) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS):
            for worker in ground.workers:
                while not await worker.is_ready():
                    for task in tasks:
                        if task.done():
                            task.result()
                    await asyncio.sleep(0.2)
    except TimeoutError:
        tails = "\n".join(worker.log.read_text()[-2000:] for worker in ground.workers)
        raise RuntimeError(f"not ready within {READY_SECONDS:.0f} s\n{tails}") from None


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=1)
    for task in tasks:
        with suppress(asyncio.CancelledError):
            task.result()
