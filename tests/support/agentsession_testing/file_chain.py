"""From Telegram's stand-in to a workspace and back: bridge, gateway and runner as processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from agentsession_core import naming
from agentsession_core.api import LaunchType
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.api_server import ApiServer
from agentsession_testing.bridge_process import BridgeProcess
from agentsession_testing.gateway import RUN, SESSION, SESSION_UID, TOKEN
from agentsession_testing.gateway_process import GatewayProcess, started_gateway
from agentsession_testing.kube_api import ACCOUNT_TOKEN, KubeApi
from agentsession_testing.kubeconfig import write_kubeconfig
from agentsession_testing.runner_process import (
    RunnerProcess,
    Volume,
    fake_cli,
    make_volume,
    running_runner,
)
from agentsession_testing.serving import free_port, plain_server, serving, until
from agentsession_testing.telegram import Telegram
from agentsession_testing.valkey import Valkey

SYSTEM = "agentsession-system"
PERSON = 71
JsonObject = dict[str, Any]


def service_account_token(
    server: ApiServer, account: str, audience: str, namespace: str = SYSTEM
) -> str:
    """A token of a service account, as kubelet would put it into a pod; the account is made."""
    for manifest in (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account, "namespace": namespace},
        },
    ):
        server.apply(manifest)
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [audience]},
    }
    with server.client() as client:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        answer = client.post(path, json=body)
        answer.raise_for_status()
    token: str = answer.json()["status"]["token"]
    return token


@dataclass
class FileChain:
    """All of it at work for one person, whose session's first run is the current one."""

    telegram: Telegram
    store: MailboxStore
    bridge: BridgeProcess
    volume: Volume
    folder: Path
    redis_url: str
    kubeconfig: Path
    kube_api: KubeApi
    ports: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()))

    @property
    def workspace(self) -> Path:
        return self.volume.root

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[GatewayProcess]:
        """A gateway process, always at the same address."""
        settings = {
            "redis": {"url": self.redis_url},
            "gateway": {"port": self.ports[0], "metricsPort": self.ports[1]},
            "bridge": {"url": f"http://127.0.0.1:{self.bridge.port}"},
        }
        arguments = ("--bridge-token", str(self.folder / "bridge-token"))
        async with started_gateway(self.folder, settings, self.kubeconfig, *arguments) as gateway:
            await until(gateway.ready, "the gateway is ready", 60)
            yield gateway

    @asynccontextmanager
    async def runner(self, gateway: GatewayProcess) -> AsyncIterator[RunnerProcess]:
        """A runner process on the workspace."""
        cli = self.folder / "claude"
        async with running_runner(
            gateway, self.volume, cli if cli.exists() else fake_cli(self.folder)
        ) as runner:
            yield runner

    async def next_run(self) -> None:
        """The operator's answer to a run that died: the next one, with a pod and a token of its own."""
        token = "token-of-run-2"
        self.kube_api.cluster.add_run(SESSION, SESSION_UID, 2, token)
        self.volume.token.write_text(f"{token}\n")
        await self.store.begin_run(
            str(PERSON),
            run=f"{SESSION_UID}/2",
            expected=RUN,
            session_uid=SESSION_UID,
            launch=LaunchType.RESUME,
        )

    async def send_file(
        self, name: str, content: bytes, caption: str = "", media: str = "document"
    ) -> JsonObject:
        """The person sends a file."""
        answer = await self.telegram.http.post(
            "/_control/files",
            data={"user_id": str(PERSON), "caption": caption, "media": media},
            files={"file": (name, content)},
        )
        answer.raise_for_status()
        sent: JsonObject = answer.json()
        return sent

    async def put_out(self, name: str, content: bytes) -> None:
        """What an agent puts into its outbox."""
        (self.workspace / "outbox").mkdir(exist_ok=True)
        await asyncio.to_thread((self.workspace / "outbox" / name).write_bytes, content)

    async def said(self, count: int, seconds: float = 60) -> list[JsonObject]:
        """What the bot has said, once it is so much."""
        found: list[JsonObject] = []

        async def there() -> bool:
            found[:] = [
                message
                for message in await self.telegram.messages(PERSON)
                if message["from"]["is_bot"]
            ]
            return len(found) >= count

        try:
            await until(there, f"the bot has said {count} things", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; so far {found}\n{self.bridge.log()[-3000:]}") from None
        return found

    async def content(self, message: JsonObject) -> bytes:
        """The bytes of a message's file, as the page's link gives them."""
        file = message.get("document") or message["photo"][-1]
        answer = await self.telegram.http.get(f"/files/{file['file_id']}")
        answer.raise_for_status()
        return answer.content


@asynccontextmanager
async def file_chain(
    telegram: Telegram, server: ApiServer, valkey: Valkey, store: MailboxStore, folder: Path
) -> AsyncIterator[FileChain]:
    """The chain with its bridge started; gateway and runner are the test's to start and to kill."""
    kube_api = KubeApi()
    kube_api.cluster.add_session(SESSION, SESSION_UID, {"user": {"id": str(PERSON)}})
    kube_api.cluster.add_run(SESSION, SESSION_UID, 1, TOKEN)
    await store.begin_run(
        str(PERSON), run=RUN, expected="", session_uid=SESSION_UID, launch=LaunchType.COLD
    )
    token = service_account_token(server, "agentsession-gateway", naming.AUDIENCE_BRIDGE)
    (folder / "bridge-token").write_text(token)
    bridge_folder = folder / "bridge"
    bridge_folder.mkdir()
    bridge = BridgeProcess(bridge_folder, telegram.url, valkey.url, server.kubeconfig)
    # Its log is searched for what must not be there.
    bridge.log_level = "DEBUG"
    bridge.allow(PERSON)
    await telegram.join(PERSON, "Ada")
    async with AsyncExitStack() as stack:
        kube = await stack.enter_async_context(serving(plain_server(kube_api)))
        kubeconfig = write_kubeconfig(folder / "kubeconfig", kube, ACCOUNT_TOKEN)
        volume = make_volume(folder)
        volume.token.write_text(f"{TOKEN}\n")
        await bridge.start()
        try:
            yield FileChain(
                telegram, store, bridge, volume, folder, valkey.url, kubeconfig, kube_api
            )
        finally:
            if bridge.process is not None:
                await bridge.kill()


async def refused(client: httpx.AsyncClient, path: str, token: str | None) -> tuple[int, str]:
    """The bridge's answer to a request that it should refuse."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    answer = await client.get(path, headers=headers)
    return answer.status_code, answer.json()["detail"]
