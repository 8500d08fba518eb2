"""Notices and cancels, against a real Valkey in both versions of its protocol."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from redis.asyncio import Redis

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.answers import CancelAnswer, Cancellation, CommitAnswer
from agentsession_core.mailbox.contract import (
    Source,
)
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.mailboxes import (
    BOX,
    NEXT_RUN,
    OK,
    RUN,
    begin,
    hints,
    message,
    turn,
)
from agentsession_testing.valkey import entries

K = MailboxKeys(BOX)


class TestNotice:
    async def say(self, store: MailboxStore, notice: str = "n1", **fields: Any) -> bool:
        return await store.notice(
            BOX,
            **{
                "notice": notice,
                "text": "ä",
                "source": Source.TELEGRAM,
                "chat": "7",
                "reply_to": ["m1", "m2"],
                **fields,
            },
        )

    async def test_goes_out_once(self, store_either: MailboxStore, redis_either: Redis) -> None:
        assert [await self.say(store_either) for _ in range(3)] == [True, False, False]
        [(_, entry)] = await entries(redis_either, K.outgoing)
        assert float(entry.pop("at")) > 0
        assert json.loads(entry.pop("reply_to")) == ["m1", "m2"]
        assert entry == {
            "id": "n1",
            "kind": "notice",
            "chat": "7",
            "turn": "",
            "outcome": "",
            "text": "ä",
        }
        [(_, ready)] = await entries(redis_either, keys.OUTGOING_READY)
        assert ready == {"mailbox": BOX}
        assert await self.say(store_either, "n2")
        assert await redis_either.xlen(K.outgoing) == 2

    async def test_to_a_terminal_is_an_event(
        self, store_either: MailboxStore, redis_either: Redis
    ) -> None:
        assert await self.say(store_either, source=Source.TERMINAL)
        [(_, event)] = await entries(redis_either, K.events)
        assert json.loads(event["data"]) == {"id": "n1", "text": "ä", "messages": ["m1", "m2"]}
        assert await redis_either.xlen(K.outgoing) == 0

    async def test_about_a_prompt_is_only_remembered(
        self, store_either: MailboxStore, redis_either: Redis
    ) -> None:
        assert await self.say(store_either, source=Source.PROMPT)
        assert not await self.say(store_either, source=Source.PROMPT)
        assert await redis_either.exists(K.outgoing, K.events, keys.OUTGOING_READY) == 0


class TestCancel:
    @pytest.fixture
    async def working(self, store_either: MailboxStore) -> MailboxStore:
        await begin(store_either)
        await store_either.ingest(BOX, message())
        await turn(store_either)
        return store_either

    @pytest.mark.parametrize("named", ["t1", None])
    async def test_stands_in_the_turns_record(
        self, working: MailboxStore, redis_either: Redis, named: str | None
    ) -> None:
        for _ in range(2):
            answer = await working.request_cancel(BOX, turn=named, by="telegram")
            assert answer == Cancellation(CancelAnswer.CANCELLED, "t1")
        record = (await working.state(BOX)).turn
        assert record is not None
        assert record.cancelled_at is not None
        [(_, entry)] = await entries(redis_either, K.control)
        assert (entry["kind"], entry["turn"], entry["by"]) == ("cancel", "t1", "telegram")
        assert (await hints(redis_either)).count("cancel") == 1

    async def test_is_dropped_when_another_turn_runs(
        self, working: MailboxStore, redis_either: Redis
    ) -> None:
        answer = await working.request_cancel(BOX, turn="t0")
        assert answer == Cancellation(CancelAnswer.OTHER_TURN, "t1")
        record = (await working.state(BOX)).turn
        assert record is not None
        assert record.cancelled_at is None
        assert await redis_either.exists(K.control) == 0

    async def test_is_dropped_when_none_runs(self, store_either: MailboxStore) -> None:
        answer = await store_either.request_cancel(BOX)
        assert answer == Cancellation(CancelAnswer.NO_TURN, None)

    async def test_racing_with_the_result_ends_in_one_answer(
        self, working: MailboxStore, redis_either: Redis
    ) -> None:
        committed, cancelled = await asyncio.gather(
            working.commit_result(BOX, run=RUN, turn="t1", result=OK),
            working.request_cancel(BOX, turn="t1"),
        )
        assert committed is CommitAnswer.COMMITTED
        assert cancelled.answer in (CancelAnswer.CANCELLED, CancelAnswer.NO_TURN)
        assert await redis_either.xlen(K.outgoing) == 1
        # What was meant for that turn does not reach the next.
        await working.ingest(BOX, message("m2"))
        await turn(working, "t2")
        record = (await working.state(BOX)).turn
        assert record is not None
        assert (record.turn, record.cancelled_at) == ("t2", None)

    async def test_goes_with_the_turn_to_the_next_run(self, working: MailboxStore) -> None:
        await working.request_cancel(BOX, turn="t1")
        await begin(working, NEXT_RUN, RUN, "pod-uid-2")
        grant = await turn(working, "t2", NEXT_RUN, "pod-uid-2")
        assert (grant.turn, grant.attempt) == ("t1", 2)
        record = (await working.state(BOX)).turn
        assert record is not None
        assert record.cancelled_at is not None
