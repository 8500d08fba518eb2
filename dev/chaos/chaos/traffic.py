"""Steady traffic: what people and bridges do, message after message, whatever is broken just now."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from redis.exceptions import RedisError

from agentsession_core import naming
from agentsession_core.mailbox.contract import NewMessage, Source
from chaos.ground import NAMESPACE, Ground
from chaos.kube import Body
from chaos.ledger import Ledger

RETRY_SECONDS: Final = 0.2
PAUSE_SECONDS: Final = 3.0
LONG_PAUSE_SECONDS: Final = 12.0
DELETE_SECONDS: Final = 7
# Every so many messages the bridge tells the session of it; a mailbox that was closed always.
INBOX_EVERY: Final = 3


@dataclass(frozen=True)
class Person:
    """Somebody with a session; session, user and mailbox have one name."""

    name: str
    by_prompt: bool
    suspend_after: int
    delete_after: int

    def manifest(self, inbox: Body | None = None) -> Body:
        """Their AgentSession."""
        written = {"inbox": inbox} if inbox else {}
        return {
            "apiVersion": naming.API_VERSION,
            "kind": naming.SESSION_KIND,
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": {
                "user": {"id": self.name},
                "idlePolicy": {
                    "suspendAfterSeconds": self.suspend_after,
                    "deleteAfterSeconds": self.delete_after,
                },
                "run": {"turnTimeoutSeconds": 60, "activeDeadlineSeconds": 900},
                **written,
            },
        }


def people(count: int, seed: int) -> list[Person]:
    """Every fourth changes spec.prompt, the others write as a bridge does.

    Every fourth's session is deleted when it was idle for long: the next message makes it anew.
    """
    rng = random.Random(seed)  # noqa: S311
    return [
        Person(
            f"p{number:02d}",
            number % 4 == 3,
            rng.choice((1, 2, 4)),
            DELETE_SECONDS if number % 4 == 2 else 0,
        )
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
        await self._apply(person)
        number = 0
        while self._clock() < until:
            for _ in range(1 if person.by_prompt else rng.choice((1, 1, 1, 2, 3))):
                number += 1
                await self._send(person, number)
            mean = LONG_PAUSE_SECONDS if rng.random() < 0.2 else PAUSE_SECONDS
            pause = min(rng.expovariate(1 / mean), max(0.0, until - self._clock()))
            await asyncio.sleep(pause)

    async def _apply(self, person: Person, message: str = "") -> None:
        """Makes the session, or tells the one that is there: its deletion is refused then."""
        inbox = {"lastMessageID": message} if message else None
        path = f"{self._ground.objects(naming.SESSION_PLURAL)}/{person.name}"
        made = await self._ground.kube.apply(path, person.manifest(inbox))
        uid = made["metadata"]["uid"]
        self._ledger.note(person.name, self._clock(), f"session {uid} applied")

    async def _send(self, person: Person, number: int) -> None:
        if person.by_prompt:
            await self._send_prompt(person, number)
        else:
            await self._send_chat(person, number)

    async def _send_chat(self, person: Person, number: int) -> None:
        message = f"{person.name}-{number}"
        self._ledger.offer(person.name, message, self._clock())
        new = NewMessage(source=Source.TELEGRAM, id=message, text=f"[{message}] please")
        while True:
            try:
                answer = await self._ground.store.ingest(person.name, new)
                break
            except (RedisError, OSError):
                await asyncio.sleep(RETRY_SECONDS)
        if answer.admission.is_refusal:
            self._ledger.refuse(person.name, message, self._clock(), answer.admission)
            return
        self._ledger.accept(person.name, message, self._clock())
        if answer.reopened or not number % INBOX_EVERY:
            await self._apply(person, message)

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
