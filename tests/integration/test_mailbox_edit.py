"""A person changes what they wrote, against a real Valkey in both versions of its protocol."""

from __future__ import annotations

from redis.asyncio import Redis

from agentsession_core.mailbox.answers import EditAnswer, RunAnswer
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.messages import INCOMING_BYTES
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.mailboxes import BOX, OK, RUN, begin, turn
from agentsession_testing.valkey import entries

K = MailboxKeys(BOX)


async def write(
    store: MailboxStore, name: str, text: str, source: Source = Source.TELEGRAM
) -> None:
    message = NewMessage(source=source, id=name, chat="7", text=text)  # type: ignore[arg-type]
    await store.ingest(BOX, message)


async def edit(store: MailboxStore, name: str, text: str, edition: str = "e1") -> EditAnswer:
    return await store.edit(
        BOX, source=Source.TELEGRAM, message=name, text=text, edition=f"{name}.{edition}"
    )


async def waiting(redis: Redis) -> list[tuple[str, str]]:
    return [(fields["id"], fields["text"]) for _, fields in await entries(redis, K.incoming)]


async def test_a_text_that_waits_is_replaced_where_it_stands(
    store_either: MailboxStore, redis_client: Redis
) -> None:
    for name in ("m1", "m2", "m3"):
        await write(store_either, name, name)
    assert await edit(store_either, "m2", "Grüße") is EditAnswer.REPLACED
    assert await edit(store_either, "m2", "Grüße") is EditAnswer.KNOWN
    assert await waiting(redis_client) == [("m1", "m1"), ("m2", "Grüße"), ("m3", "m3")]
    assert await edit(store_either, "m2", "m", "e2") is EditAnswer.REPLACED
    await begin(store_either)
    given = await turn(store_either)
    assert [message.text for message in given.messages] == ["m1", "m", "m3"]
    await store_either.commit_result(BOX, run=RUN, turn=given.turn, result=OK)
    assert await redis_client.hget(K.state, "incoming_bytes") == b"0"


async def test_what_a_turn_has_taken_up_stays_as_it_is(
    store: MailboxStore, redis_client: Redis
) -> None:
    await write(store, "m1", "m1")
    await begin(store)
    given = await turn(store)
    assert await edit(store, "m1", "late") is EditAnswer.BEGUN
    # It comes as a message of its own, which can be changed again as long as it waits.
    await write(store, "m1.e1", "late")
    assert await edit(store, "m1", "later", "e2") is EditAnswer.REPLACED
    assert await waiting(redis_client) == [("m1", "m1"), ("m1.e1", "later")]
    await store.commit_result(BOX, run=RUN, turn=given.turn, result=OK)
    assert await edit(store, "m2", "unknown") is EditAnswer.GONE
    assert await edit(store, "m", "a part of a name is no name") is EditAnswer.GONE


async def test_what_is_read_already_but_waits_for_its_turn_is_replaced_too(
    store: MailboxStore, redis_client: Redis
) -> None:
    await write(store, "m1", "m1")
    await write(store, "t1", "t1", Source.TERMINAL)
    await write(store, "m2", "m2")
    await begin(store)
    await turn(store, "turn1")
    assert await edit(store, "m2", "new") is EditAnswer.REPLACED
    seen = []
    for number in (1, 2, 3):
        given = await turn(store, f"turn{number}")
        seen.append([message.text for message in given.messages])
        await store.commit_result(BOX, run=RUN, turn=given.turn, result=OK)
    assert seen == [["m1"], ["t1"], ["new"]]
    assert (await turn(store, "turn4")).answer is RunAnswer.EMPTY


async def test_other_sources_and_what_does_not_fit_are_left_alone(
    store: MailboxStore, redis_client: Redis
) -> None:
    await write(store, "m1", "m1", Source.TERMINAL)
    assert await edit(store, "m1", "not mine") is EditAnswer.GONE
    await write(store, "m2", "m2")
    assert await edit(store, "m2", "x" * INCOMING_BYTES) is EditAnswer.TOO_LARGE
    assert await waiting(redis_client) == [("m1", "m1"), ("m2", "m2")]
