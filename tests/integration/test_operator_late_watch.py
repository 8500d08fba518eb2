"""An operator that has not heard yet that a session is gone: it says and starts nothing for it."""

from __future__ import annotations

import copy

import pytest
from redis.asyncio import Redis

from agentsession_core.api import LaunchType
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.parse import read_text
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.operator_stage import KEY, UID, Stage
from agentsession_testing.valkey import entries

K = MailboxKeys("42")


def message(number: int) -> NewMessage:
    return NewMessage(source=Source.TELEGRAM, id=f"m{number}", chat="7", text="hi")


@pytest.fixture
async def ahead(redis_client: Redis) -> Stage:
    """An operator, and a session whose only message was answered."""
    store = MailboxStore(redis_client)
    await store.begin_epoch("e")
    stage = Stage(store)
    await store.ingest("42", message(1))
    await stage.apply()
    await stage.connect(1)
    await stage.answer(1, "Hi!")
    await redis_client.xtrim(K.outgoing, maxlen=0)
    return stage


@pytest.fixture
async def late(ahead: Stage) -> Stage:
    """Another one, whose watch stands still at what was before the answer."""
    stage = Stage(ahead.store, ahead.cluster)
    assert ahead.cluster.session is not None
    seen = copy.deepcopy(ahead.cluster.session)
    seen["spec"]["inbox"] = {"lastMessageID": "m1"}
    seen["status"] |= {"phase": "Working", "lastHandledMessageID": "m0"}
    stage.handlers.session(seen, deleted=False)
    return stage


async def test_an_ended_mailbox_is_not_made_anew(
    ahead: Stage, late: Stage, redis_client: Redis
) -> None:
    ahead.cluster.session = None
    await ahead.look()
    made = len(ahead.cluster.made)
    missing: list[bool] = []
    late.reconcile.on_missing = lambda: missing.append(True)
    assert await late.reconcile(KEY) is None
    assert missing, "a list is to tell it"
    keys = {read_text(key) for key in await redis_client.keys("user:42:*")}
    assert keys == {K.ended, K.seen("telegram", "m1")}, "nobody is told of a lost message"
    assert len(late.cluster.made) == made


async def test_what_came_since_waits_for_the_next_session(ahead: Stage, late: Stage) -> None:
    ahead.cluster.session = None
    await ahead.look()
    await ahead.store.ingest("42", message(2))
    made = len(ahead.cluster.made)
    await late.reconcile(KEY)
    state = await late.store.state("42")
    assert (state.session_uid, state.waiting, state.run) == (None, 1, None)
    assert len(late.cluster.made) == made


async def test_a_following_session_keeps_its_mailbox(ahead: Stage, late: Stage) -> None:
    assert ahead.cluster.session is not None
    following = copy.deepcopy(ahead.cluster.session)
    ahead.cluster.session = None
    await ahead.look()
    following["metadata"]["uid"] = "uid-2"
    ahead.cluster.session = following
    await ahead.store.begin_run(
        "42", run="uid-2/1", expected="", session_uid="uid-2", launch=LaunchType.COLD, user="42"
    )
    await late.reconcile(KEY)
    assert (await late.store.state("42")).session_uid == "uid-2"


async def test_an_api_server_restored_to_before_the_end_has_its_session_again(
    ahead: Stage, redis_client: Redis
) -> None:
    restored = ahead.cluster.session
    ahead.cluster.session = None
    await ahead.look()
    ahead.cluster.session = restored
    await ahead.look()
    state = await ahead.store.state("42")
    assert (state.session_uid, state.ended) == (UID, None)
    assert await entries(redis_client, K.outgoing) == []
