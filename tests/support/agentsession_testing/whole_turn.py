"""A whole turn without a cluster: real Valkey, real gateway process, real runner process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from agentsession_core.api import LaunchType
from agentsession_core.mailbox.model import LastTurnRecord
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.gateway import RUN, SESSION, SESSION_UID, TOKEN, USER
from agentsession_testing.gateway_process import PROGRAM, GatewayProcess, started_gateway
from agentsession_testing.kube_api import ACCOUNT_TOKEN, KubeApi
from agentsession_testing.kubeconfig import write_kubeconfig
from agentsession_testing.runner_process import RunnerProcess
from agentsession_testing.serving import free_port, plain_client, plain_server, serving, until
from agentsession_testing.valkey import Valkey


@dataclass
class WholeTurn:
    """A run: gateway and runner at work, the mailbox between them and the operator."""

    store: MailboxStore
    folder: Path
    kubeconfig: Path
    redis_url: str
    model: str
    turn_seconds: float
    ports: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()))
    generation: int = 0
    runner: RunnerProcess | None = None

    @asynccontextmanager
    async def gateway(
        self, upstream: str, silence: float, program: tuple[str, ...] = PROGRAM
    ) -> AsyncIterator[GatewayProcess]:
        """A gateway process in front of that upstream, always at the same address."""
        settings = {
            "redis": {"url": self.redis_url},
            "gateway": {
                "port": self.ports[0],
                "metricsPort": self.ports[1],
                "models": {"anthropic": {"baseURL": upstream}},
            },
        }
        arguments = ("--silence-seconds", str(silence))
        async with started_gateway(
            self.folder, settings, self.kubeconfig, *arguments, program=program
        ) as gateway:
            await until(gateway.ready, "the gateway is ready", 60)
            yield gateway

    async def ask(self, text: str) -> LastTurnRecord:
        """Change the prompt and wait for the end of its turn."""
        self.generation += 1
        wanted = f"{SESSION_UID}.{self.generation}"
        await self.store.ingest_prompt(
            USER,
            uid=SESSION_UID,
            generation=self.generation,
            sha256=f"sha-{self.generation}",
            text=text,
            known_sha256=None,
        )
        found: list[LastTurnRecord] = []

        async def answered() -> bool:
            last = (await self.store.state(USER)).last
            if last is not None and last.message_id == wanted:
                found.append(last)
            return bool(found)

        try:
            await until(answered, f"the turn of {text!r} has ended", self.turn_seconds + 15)
        except AssertionError as error:
            said = self.runner.said if self.runner else ""
            raise AssertionError(f"{error}; the runner said:\n{said}") from None
        return found[0]

    async def fail(self, **effect: Any) -> None:
        """Every further model call fails so."""
        await self._control("POST", json={"count": 100, "fail": effect, "kind": None})

    async def mend(self) -> int:
        """No model call fails any more; answers how many calls came so far."""
        await self._control("DELETE")
        async with plain_client(base_url=self.model) as client:
            found = (await client.get("/_control/requests")).json()["requests"]
        return sum(request["path"] == "/v1/messages" for request in found)

    async def newest_body(self) -> dict[str, Any]:
        """The newest model call's body."""
        async with plain_client(base_url=self.model) as client:
            found = (await client.get("/_control/requests", params={"kind": "main"})).json()
            sequence = found["requests"][-1]["sequence"]
            answer = await client.get(f"/_control/requests/{sequence}/body")
        body: dict[str, Any] = answer.json()
        return body

    async def _control(self, method: str, **values: Any) -> None:
        async with plain_client(base_url=self.model) as client:
            answer: httpx.Response = await client.request(method, "/_control/fail", **values)
            answer.raise_for_status()


@asynccontextmanager
async def whole_turn(
    store: MailboxStore,
    valkey: Valkey,
    folder: Path,
    model: str,
    turn_seconds: float,
    agent: dict[str, Any] | None = None,
) -> AsyncIterator[WholeTurn]:
    """A session whose turns may take so long, its first run begun, before a model server.

    `agent` is the session's `spec.agent`.
    """
    kube_api = KubeApi()
    spec = {
        "user": {"id": USER},
        "run": {"turnTimeoutSeconds": int(turn_seconds)},
        "agent": agent or {},
    }
    kube_api.cluster.add_session(SESSION, SESSION_UID, spec)
    kube_api.cluster.add_run(SESSION, SESSION_UID, 1, TOKEN)
    await store.begin_run(
        USER, run=RUN, expected="", session_uid=SESSION_UID, launch=LaunchType.COLD
    )
    (folder / "secrets").mkdir()
    (folder / "secrets" / "anthropic-api-key").write_text("sk-real", encoding="utf-8")
    async with serving(plain_server(kube_api)) as kube:
        kubeconfig = write_kubeconfig(folder / "kubeconfig", kube, ACCOUNT_TOKEN)
        yield WholeTurn(store, folder, kubeconfig, valkey.url, model, turn_seconds)
