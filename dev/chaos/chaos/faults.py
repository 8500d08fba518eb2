"""Carries faults out on the process ground."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from chaos.ground import Ground
from chaos.kube import KubeError
from chaos.node import Pod
from chaos.schedule import Fault, Planned

LOOK_SECONDS: Final = 0.1
EVICTION_SECONDS: Final = 3.0
REFUSING_SECONDS: Final = 3.0
REDIS_AWAY_SECONDS: Final = 0.5


class Faults:
    """One method per kind; `done` counts what really happened, `missed` what found no target."""

    def __init__(
        self, ground: Ground, note: Callable[[str], None], pauses: Mapping[Fault, float]
    ) -> None:
        self._ground = ground
        # Faults that have waited for a target would hit the first one all at once otherwise.
        self._pauses = pauses
        self._note = note
        self.done: Counter[Fault] = Counter()
        self.missed: Counter[Fault] = Counter()
        self.evicted = 0
        # Nobody writes any more: what has found no target until now finds none.
        self.over = False
        self._alone: dict[Fault, asyncio.Lock] = {fault: asyncio.Lock() for fault in Fault}
        # The proxy takes them back all at once.
        self._alone |= dict.fromkeys(
            (Fault.API_429, Fault.API_500, Fault.API_LOST_ANSWER), asyncio.Lock()
        )
        self._methods: dict[Fault, Callable[[float], Awaitable[str | None]]] = {
            Fault.OPERATOR_KILL: self._kill_operator,
            Fault.GATEWAY_KILL: self._kill_gateway,
            Fault.REDIS_KILL: self._kill_redis,
            Fault.RUNNER_KILL: self._kill_runner,
            Fault.CLI_KILL: self._kill_cli,
            Fault.POD_DELETE: self._delete_pod,
            Fault.EVICTION: self._evict_all,
            Fault.API_RESTART: self._restart_api_server,
            Fault.COMPACTION: self._compact,
            Fault.API_429: lambda pick: self._refuse(429, 0.5 + pick / 2),
            Fault.API_500: lambda pick: self._refuse(500, 0.5 + pick / 2),
            Fault.API_LOST_ANSWER: lambda pick: self._lose_answers(0.3 + pick / 2),
        }

    async def carry_out(self, planned: Planned) -> None:
        """Does it as soon as there is something to hit, or counts it as missed at the end."""
        fault = planned.fault
        async with self._alone[fault]:
            while (target := await self._methods[fault](planned.pick)) is None:
                if self.over:
                    self.missed[fault] += 1
                    self._note(f"{fault.value}: nothing to hit")
                    return
                await asyncio.sleep(LOOK_SECONDS)
            self.done[fault] += 1
            self._note(f"{fault.value} {target}")
            if not self.over:
                await asyncio.sleep(self._pauses.get(fault, 0.0))

    def _pod(self, pick: float) -> Pod | None:
        running = self._ground.node.running
        return running[int(pick * len(running))] if running else None

    async def _kill_operator(self, pick: float) -> str | None:
        operators = self._ground.operators
        chosen = operators[int(pick * len(operators))]
        return chosen.name if chosen.kill() else None

    async def _kill_gateway(self, pick: float) -> str | None:
        return "gateway" if self._ground.gateway.kill() else None

    async def _kill_redis(self, pick: float) -> str | None:
        self._ground.redis_server.kill()
        await asyncio.sleep(REDIS_AWAY_SECONDS * pick)
        await self._ground.redis_server.start()
        return "redis"

    async def _kill_runner(self, pick: float) -> str | None:
        pod = self._pod(pick)
        return pod.name if pod and pod.container and pod.container.kill_runner() else None

    async def _kill_cli(self, pick: float) -> str | None:
        pod = self._pod(pick)
        return pod.name if pod and pod.container and pod.container.kill_cli() else None

    async def _delete_pod(self, pick: float) -> str | None:
        pod = self._pod(pick)
        if pod is None or pod.deleting:
            return None
        path = f"{self._ground.objects('pods')}/{pod.name}"
        await self._ground.kube.delete(path, preconditions={"uid": pod.uid})
        return pod.name

    async def _evict_all(self, pick: float) -> str | None:
        node = self._ground.node
        victims = [pod for pod in node.running if not pod.deleting]
        if not victims:
            return None
        node.cordon()
        try:
            for pod in victims:
                await self._evict(pod)
            await asyncio.sleep(EVICTION_SECONDS * pick)
        finally:
            node.uncordon()
        return ", ".join(pod.name for pod in victims)

    async def _evict(self, pod: Pod) -> None:
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name},
            "deleteOptions": {"preconditions": {"uid": pod.uid}},
        }
        path = f"{self._ground.objects('pods')}/{pod.name}/eviction"
        try:
            await self._ground.kube.call("POST", path, body)
        except KubeError as error:
            # It went by itself just now, or the API server has a fault of its own.
            if error.status not in (404, 409, 429, 500, 503):
                raise
        else:
            self.evicted += 1

    async def _restart_api_server(self, pick: float) -> str | None:
        async with self._alone[Fault.COMPACTION]:
            await asyncio.to_thread(self._ground.control.restart_api_server)
        return "kube-apiserver"

    async def _compact(self, pick: float) -> str | None:
        """Watches that begin again behind the compaction are told 410."""
        revision = await self._ground.control.compact()
        self._ground.api.cut_watches()
        return f"at revision {revision}"

    async def _refuse(self, status: int, share: float) -> str | None:
        await self._ground.api.refuse(status, share, REFUSING_SECONDS)
        return f"{share:.0%} of the requests for {REFUSING_SECONDS:.0f} s"

    async def _lose_answers(self, share: float) -> str | None:
        await self._ground.api.lose_answers(share, REFUSING_SECONDS)
        return f"{share:.0%} of the writes for {REFUSING_SECONDS:.0f} s"
