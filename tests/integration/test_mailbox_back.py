"""Back to the conversation before, against a real Valkey."""

from __future__ import annotations

from redis.asyncio import Redis

from agentsession_core.mailbox.contract import MailboxHash, NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.parse import read_fields
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.mailboxes import BOX, OK, RUN, begin, turn

K = MailboxKeys(BOX)


def word(name: str, text: str = "") -> NewMessage:
    return NewMessage(source=Source.TELEGRAM, id=name, chat="7", text=text)


async def test_it_swaps_the_two_conversations(store: MailboxStore, redis_client: Redis) -> None:
    assert not await store.go_back(BOX, wish="w0")
    await redis_client.hset(K.state, "agent_session_id", "first")
    await store.ingest(BOX, word("n1"), new_conversation=True)
    assert await store.go_back(BOX, wish="w1")
    state = await store.state(BOX)
    assert (state.conversation, state.agent_session_id) == (3, "first")
    # There was nothing said in the other one: nothing to go back to.
    assert not await store.go_back(BOX, wish="w2")
    await redis_client.hset(K.state, "previous_session_id", "second")
    assert await store.go_back(BOX, wish="w3")
    assert await store.go_back(BOX, wish="w3")
    raw = await redis_client.hgetall(K.state)
    MailboxHash.model_validate(read_fields(raw))
    assert (await store.state(BOX)).agent_session_id == "second"


async def test_while_there_is_work_it_is_refused(store: MailboxStore, redis_client: Redis) -> None:
    await redis_client.hset(K.state, "previous_session_id", "old")
    await store.ingest(BOX, word("m1", "hello"))
    assert not await store.go_back(BOX, wish="w1")
    await begin(store)
    given = await turn(store)
    assert not await store.go_back(BOX, wish="w1")
    await store.commit_result(BOX, run=RUN, turn=given.turn, result=OK)
    assert await store.go_back(BOX, wish="w1")
    state = await store.state(BOX)
    # Its run knows only the other conversation: the next one is told of this one.
    assert state.run is not None
    assert (state.run.state, state.run.why) == ("drained", "Draining")
    assert state.agent_session_id == "old"
