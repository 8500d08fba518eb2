"""A mailbox with a run that has said hello, and what happens in it."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from agentsession_core.api import LaunchType, TurnOutcome
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.answers import RunAnswer, TurnGrant
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.valkey import entries

BOX, UID, POD = "42", "uid-a", "pod-uid-1"
RUN, NEXT_RUN = "uid-a/1", "uid-a/2"
OK = ResultRecord(TurnOutcome.SUCCEEDED, "the answer", "conversation-id")


@pytest.fixture
async def box(store_either: MailboxStore) -> MailboxStore:
    """A mailbox whose first run is current and has said hello."""
    await begin(store_either)
    return store_either


async def begin(
    store: MailboxStore, run: str = RUN, expected: str = "", pod_uid: str = POD
) -> None:
    owner = run.partition("/")[0]
    assert await store.begin_run(
        BOX, run=run, expected=expected, session_uid=owner, launch=LaunchType.COLD
    )
    assert (await store.hello(BOX, run=run, pod_uid=pod_uid, pod="pod")).answer is RunAnswer.OK


def message(name: str = "m1", text: str = "hello", **fields: Any) -> NewMessage:
    """What a person wrote in a chat."""
    return NewMessage(
        **{"source": Source.TELEGRAM, "id": name, "chat": "7", "text": text, **fields}
    )


async def prompt(store: MailboxStore, text: str = "hello", generation: int = 1) -> None:
    await store.ingest_prompt(
        BOX, uid=UID, generation=generation, sha256=text, text=text, known_sha256=None
    )


async def turn(
    store: MailboxStore, name: str = "t1", run: str = RUN, pod_uid: str = POD, seconds: int = 60
) -> TurnGrant:
    return await store.begin_turn(BOX, run=run, pod_uid=pod_uid, turn=name, timeout_seconds=seconds)


async def hints(redis: Redis) -> list[str]:
    return [
        fields["kind"]
        for _, fields in await entries(redis, keys.SESSIONS_EVENTS)
        if fields["mailbox"] == BOX
    ]
