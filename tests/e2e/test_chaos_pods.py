"""Chaos in pods with the real CLI: one fault of each kind that the shared cluster can bear."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

import pytest
from kubernetes import client
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentsession_core.mailbox.connect import connect
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.cluster import Product
from agentsession_testing.node_processes import kill, require_local_node
from agentsession_testing.serving import until
from agentsession_testing.valkey import entries
from localcluster.settings import NODE_NAME

SESSIONS = 3
ANSWER_SECONDS = 120.0
NewName = Callable[[str], str]


@dataclass
class Chaos:
    """Sessions that are written to, and what can happen to them."""

    product: Product
    redis: Redis
    names: list[str]
    accepted: dict[str, list[str]] = field(default_factory=dict)

    async def say(self) -> None:
        """A message to everybody, tried until Redis says that it has it."""
        store = MailboxStore(self.redis)
        for name in self.names:
            mine = self.accepted.setdefault(name, [])
            message = f"{name}-{len(mine) + 1}"
            # A chat that is none of Telegram's: the bridge leaves its answers where they are.
            new = NewMessage(source=Source.TELEGRAM, id=message, chat="a-room", text="hello")
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    try:
                        await store.ingest(name, new)
                        break
                    except (RedisError, OSError):
                        await asyncio.sleep(0.2)
            mine.append(message)

    async def answered(self) -> bool:
        """Whether every accepted message stands in exactly one answer or notice, in order."""
        for name, accepted in self.accepted.items():
            try:
                found = await entries(self.redis, MailboxKeys(name).outgoing)
            except (RedisError, OSError):
                return False
            said = [message for _, e in found for message in json.loads(e["reply_to"])]
            assert len(said) == len(set(said)), f"answered twice: {said}"
            assert said == accepted[: len(said)], f"{said} for {accepted}"
            if said != accepted:
                return False
        return True

    def pods(self) -> list[client.V1Pod]:
        """The sessions' pods that run."""
        return [
            pod
            for name in self.names
            for pod in self.product.pods(name)
            if pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None
        ]

    def part(self, component: str) -> str:
        """Uid of a part's pod."""
        uid: str = self.product.part(component)[0].metadata.uid
        return uid

    def evict_all(self) -> bool:
        """The node cordoned, every run pod evicted."""
        pods = self.pods()
        for pod in pods:
            metadata = client.V1ObjectMeta(name=pod.metadata.name)
            self.product.core.create_namespaced_pod_eviction(
                pod.metadata.name,
                self.product.names.sessions_namespace,
                client.V1Eviction(metadata=metadata),
            )
        return bool(pods)

    def delete_one(self) -> bool:
        """A run pod deleted by hand."""
        pods = self.pods()
        if pods:
            self.product.core.delete_namespaced_pod(
                pods[0].metadata.name, self.product.names.sessions_namespace
            )
        return bool(pods)

    def kill_in_run(self, word: str) -> bool:
        """kill -9 in a run pod."""
        return any(kill(pod.metadata.uid, word) for pod in self.pods()[:1])


@pytest.fixture
async def release_redis(product: Product) -> AsyncIterator[Redis]:
    """The release's Redis by its pod's address: it is the same when the container starts again."""
    require_local_node()
    names = product.names
    listed = product.kubectl("get", "secrets", "-o", "json", namespace=names.namespace)
    [password] = [
        base64.b64decode(secret["data"]["redis-password"]).decode()
        for secret in json.loads(listed)["items"]
        if "redis-password" in secret.get("data", {})
    ]
    pod = product.part("redis")[0]
    async with connect(f"redis://{pod.status.pod_ip}:6379/0", SecretStr(password)) as redis:
        yield redis


@pytest.fixture
def chaos(product: Product, release_redis: Redis, new_name: NewName) -> Chaos:
    names = [new_name("chaos") for _ in range(SESSIONS)]
    for name in names:
        product.apply(product.manifest(name))
    return Chaos(product, release_redis, names)


@pytest.fixture
def cordoned(product: Product) -> Iterator[Callable[[bool], None]]:
    """Takes the node out of scheduling; it is back afterwards whatever happens."""

    def set_to(truth: bool) -> None:
        product.core.patch_node(NODE_NAME, {"spec": {"unschedulable": truth}})

    yield set_to
    set_to(False)


async def test_whatever_is_killed_every_message_is_answered_once_and_in_order(
    chaos: Chaos, cordoned: Callable[[bool], None]
) -> None:
    faults: dict[str, Callable[[], bool]] = {
        "agent CLI killed": lambda: chaos.kill_in_run("claude"),
        "runner killed": lambda: chaos.kill_in_run("agentsession"),
        "operator killed": lambda: kill(chaos.part("operator"), "agentsession-operator"),
        "pod deleted": chaos.delete_one,
        "gateway killed": lambda: kill(chaos.part("gateway"), "agentsession-gateway"),
        "redis killed": lambda: kill(chaos.part("redis"), "valkey"),
        "all evicted": chaos.evict_all,
    }
    for what, strike in faults.items():
        await chaos.say()
        cordoned(what == "all evicted")
        await until(strike, f"there was something to hit: {what}", ANSWER_SECONDS)
        await chaos.say()
        cordoned(False)
        print(f"{what}; {sum(map(len, chaos.accepted.values()))} messages so far")
    await until(chaos.answered, "every message has its answer", ANSWER_SECONDS)
