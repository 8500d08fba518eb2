"""What an agent says in the middle of its turn, against a real Valkey in both versions of its protocol."""

from __future__ import annotations

import json

import pytest
from redis.asyncio import Redis

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.responses import (
    RESPONSES_PER_TURN,
    SAID_SECONDS,
    RespondAnswer,
    Responded,
)
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.mailboxes import BOX, NEXT_RUN, OK, RUN, begin, prompt, turn
from agentsession_testing.valkey import entries

K = MailboxKeys(BOX)


@pytest.fixture
async def box(store_either: MailboxStore) -> MailboxStore:
    """A mailbox whose first run has a turn of a chat."""
    await begin(store_either)
    await store_either.ingest(BOX, NewMessage(source=Source.TELEGRAM, id="m1", chat="7", text="?"))
    await turn(store_either)
    return store_either


async def say(
    box: MailboxStore, response: str = "r1", text: str = "ä", run: str = RUN
) -> Responded:
    return await box.respond(BOX, run=run, response=response, text=text)


async def test_it_comes_before_the_answer(box: MailboxStore, redis_either: Redis) -> None:
    assert await say(box) == Responded(RespondAnswer.SAID, "t1", "telegram")
    await say(box, "r2")
    await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
    found = [entry for _, entry in await entries(redis_either, K.outgoing)]
    assert [(entry["kind"], entry["id"]) for entry in found] == [
        ("respond", "r1"),
        ("respond", "r2"),
        ("answer", "t1"),
    ]
    assert {key: found[0][key] for key in ("text", "chat", "turn", "reply_to")} == {
        "text": "ä",
        "chat": "7",
        "turn": "t1",
        "reply_to": "[]",
    }
    ready = await entries(redis_either, keys.OUTGOING_READY)
    assert [entry for _, entry in ready] == [{"mailbox": BOX}] * 3


async def test_the_same_is_said_once(box: MailboxStore, redis_either: Redis) -> None:
    await say(box)
    assert (await say(box)).answer is RespondAnswer.KNOWN
    await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
    # Whoever did not hear that it arrived may ask when the turn is over.
    assert await say(box) == Responded(RespondAnswer.KNOWN)
    assert await redis_either.xlen(K.outgoing) == 2
    assert 0 < await redis_either.ttl(K.said) <= SAID_SECONDS


async def test_only_the_run_whose_turn_it_is(box: MailboxStore, redis_either: Redis) -> None:
    assert (await say(box, run=NEXT_RUN)).answer is RespondAnswer.STALE
    await begin(box, NEXT_RUN, RUN, "pod-uid-2")
    # The dead run's turn is not the next one's before it was given to it.
    assert (await say(box, run=NEXT_RUN)).answer is RespondAnswer.NO_TURN
    await turn(box, "t2", NEXT_RUN, "pod-uid-2")
    assert (await say(box, run=NEXT_RUN)).turn == "t1"
    assert (await say(box, "r2")).answer is RespondAnswer.STALE
    await box.commit_result(BOX, run=NEXT_RUN, turn="t1", result=OK)
    assert (await say(box, "r3", run=NEXT_RUN)).answer is RespondAnswer.NO_TURN
    await redis_either.delete(keys.SESSIONS_EPOCH)
    assert (await say(box, "r4", run=NEXT_RUN)).answer is RespondAnswer.LOST
    assert await redis_either.xlen(K.outgoing) == 2


async def test_not_after_stop(box: MailboxStore, redis_either: Redis) -> None:
    await box.request_cancel(BOX, by="telegram")
    assert (await say(box)).answer is RespondAnswer.STOPPED
    assert await redis_either.xlen(K.outgoing) == 0


async def test_a_turn_says_so_much_and_no_more(box: MailboxStore, redis_either: Redis) -> None:
    said = [(await say(box, f"r{number}")).answer for number in range(RESPONSES_PER_TURN + 1)]
    assert said == [RespondAnswer.SAID] * RESPONSES_PER_TURN + [RespondAnswer.TOO_MANY]
    await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
    await prompt(box)
    await turn(box, "t2")
    assert (await say(box, "next")).answer is RespondAnswer.SAID


async def test_of_a_prompt_the_terminals_hear_it(
    store_either: MailboxStore, redis_either: Redis
) -> None:
    await begin(store_either)
    await prompt(store_either)
    await turn(store_either)
    assert await say(store_either) == Responded(RespondAnswer.SAID, "t1", "prompt")
    assert await redis_either.xlen(K.outgoing) == 0
    _, entry = (await entries(redis_either, K.events))[-1]
    assert (entry["kind"], entry["source"], json.loads(entry["data"])) == (
        "respond",
        "prompt",
        {"text": "ä"},
    )


async def test_it_goes_with_the_mailbox(box: MailboxStore, redis_either: Redis) -> None:
    await say(box)
    await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
    await box.end_mailbox(BOX, session_uid="uid-a", text="gone")
    assert not await redis_either.exists(K.said)
