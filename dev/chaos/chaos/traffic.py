"""Steady traffic: what people and bridges do, message after message, whatever is broken just now."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from redis.exceptions import RedisError

from agentsession_core import naming
from agentsession_core.mailbox.keys import MailboxKeys
from chaos.ground import NAMESPACE, Ground
from chaos.kube import Body, KubeError
from chaos.ledger import Ledger

RETRY_SECONDS: Final = 0.2
PAUSE_SECONDS: Final = 3.0
LONG_PAUSE_SECONDS: Final = 12.0
# Until the ingest script: what a source does by hand (DESIGN §5.1), in one step.
_INGEST: Final = """
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', 172800) then return 'seen' end
redis.call('XADD', KEYS[2], '*', 'id', ARGV[2], 'source', 'telegram', 'chat', ARGV[1], 'text', ARGV[3])
redis.call('SADD', 'sessions:backlog', ARGV[1])
redis.call('ZADD', 'sessions:activity', redis.call('TIME')[1], ARGV[1])
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'message')
return 'new'
"""


@dataclass(frozen=True)
class Person:
    """Somebody with a session; session, user and mailbox have one name."""

    name: str
    by_prompt: bool
    suspend_after: int

    def manifest(self) -> Body:
        """Their AgentSession."""
        return {
            "apiVersion": naming.API_VERSION,
            "kind": naming.SESSION_KIND,
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": {
                "user": {"id": self.name},
                "idlePolicy": {"suspendAfterSeconds": self.suspend_after, "deleteAfterSeconds": 0},
                "run": {"turnTimeoutSeconds": 60, "activeDeadlineSeconds": 900},
            },
        }


def people(count: int, seed: int) -> list[Person]:
    """Every fourth changes spec.prompt, the others write as a bridge does."""
    rng = random.Random(seed)  # noqa: S311
    return [
        Person(f"p{number:02d}", number % 4 == 3, rng.choice((1, 2, 4, 8)))
        for number in range(count)
    ]


class Traffic:
    """Everybody's messages."""

    def __init__(
        self, ground: Ground, ledger: Ledger, seed: int, clock: Callable[[], float]
    ) -> None:
        self._ground = ground
        self._ledger = ledger
        self._seed = seed
        self._clock = clock

    async def run(self, persons: list[Person], until: float) -> None:
        """Sends until that moment (of `clock`); what is on its way then is still handed over."""
        async with asyncio.TaskGroup() as group:
            for person in persons:
                group.create_task(self._live(person, until))

    async def _live(self, person: Person, until: float) -> None:
        rng = random.Random(f"{self._seed}/{person.name}")  # noqa: S311
        await self._create(person)
        number = 0
        while self._clock() < until:
            for _ in range(1 if person.by_prompt else rng.choice((1, 1, 1, 2, 3))):
                number += 1
                await self._send(person, number)
            mean = LONG_PAUSE_SECONDS if rng.random() < 0.2 else PAUSE_SECONDS
            pause = min(rng.expovariate(1 / mean), max(0.0, until - self._clock()))
            await asyncio.sleep(pause)

    async def _create(self, person: Person) -> None:
        path = self._ground.objects(naming.SESSION_PLURAL)
        try:
            await self._ground.kube.call("POST", path, person.manifest())
        except KubeError as error:
            if error.status != 409:
                raise
        self._ledger.note(person.name, self._clock(), "session made")

    async def _send(self, person: Person, number: int) -> None:
        if person.by_prompt:
            await self._send_prompt(person, number)
        else:
            await self._send_chat(person, number)

    async def _send_chat(self, person: Person, number: int) -> None:
        message = f"{person.name}-{number}"
        self._ledger.offer(person.name, message, self._clock())
        box = MailboxKeys(person.name)
        while True:
            try:
                await self._ground.redis.eval(
                    *(_INGEST, 2, f"user:{person.name}:seen:telegram:{message}", box.incoming),
                    *(person.name, message, f"[{message}] please"),
                )
                break
            except (RedisError, OSError):
                await asyncio.sleep(RETRY_SECONDS)
        self._ledger.accept(person.name, message, self._clock())

    async def _send_prompt(self, person: Person, number: int) -> None:
        """The next change waits for this one's answer: of faster changes only the last counts."""
        path = f"{self._ground.objects(naming.SESSION_PLURAL)}/{person.name}"
        session = await self._ground.kube.get(path)
        metadata = session["metadata"]
        message = f"{metadata['uid']}.{metadata['generation'] + 1}"
        answered = asyncio.Event()
        self._ledger.when_answered(message, answered.set)
        self._ledger.offer(person.name, message, self._clock())
        await self._ground.kube.merge(path, {"spec": {"prompt": f"[{message}] {number}"}})
        self._ledger.accept(person.name, message, self._clock())
        await answered.wait()
