"""Turns of a mailbox, against a real Valkey in both versions of its protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest
from redis.asyncio import Redis

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.answers import CommitAnswer, RunAnswer, TurnGrant
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.mailboxes import (
    BOX,
    NEXT_RUN,
    OK,
    RUN,
    begin,
    hints,
    prompt,
    turn,
)
from agentsession_testing.valkey import entries


class TestBeginTurn:
    async def test_nothing_waits(self, box: MailboxStore) -> None:
        assert await turn(box) == TurnGrant(RunAnswer.EMPTY)
        assert (await box.state(BOX)).turn is None

    async def test_a_message_waits(self, box: MailboxStore, redis_either: Redis) -> None:
        await prompt(box, "Grüße 🙂\n\x00")
        grant = await turn(box)
        assert (grant.answer, grant.turn, grant.attempt, grant.conversation) == (
            RunAnswer.TURN,
            "t1",
            1,
            1,
        )
        assert 58 < grant.remaining_seconds <= 60
        assert [(m.id, m.text, m.files) for m in grant.messages] == [
            ("uid-a.1", "Grüße 🙂\n\x00", ())
        ]
        state = await box.state(BOX)
        assert state.turn is not None
        assert (state.turn.turn, state.turn.run, state.turn.source) == ("t1", RUN, "prompt")
        assert (await hints(redis_either))[-1] == "turn"

    async def test_the_recorded_turn_again(self, box: MailboxStore) -> None:
        await prompt(box)
        first = await turn(box, "t1")
        await prompt(box, "later", 2)
        again = await turn(box, "t2", seconds=999)
        assert (again.turn, again.attempt, again.messages) == ("t1", 1, first.messages)
        assert again.remaining_seconds <= first.remaining_seconds

    async def test_waiting_messages_go_in_together_in_order(self, box: MailboxStore) -> None:
        for generation, text in enumerate(("a", "b", "c"), start=1):
            await prompt(box, text, generation)
        assert [m.text for m in (await turn(box)).messages] == ["a", "b", "c"]

    @pytest.mark.parametrize(
        "change", [{"source": "telegram"}, {"chat": "7"}, {"conversation": "2"}], ids=str
    )
    async def test_but_only_of_one_source_chat_and_conversation(
        self, box: MailboxStore, redis_either: Redis, change: dict[str, str]
    ) -> None:
        base = {"source": "api", "chat": "", "conversation": "1"}
        for text, fields in (("a", base), ("b", {**base, **change}), ("c", base)):
            entry: dict[Any, Any] = {**fields, "text": text}
            await redis_either.xadd(MailboxKeys(BOX).incoming, entry)
        for number, expected in enumerate("abc"):
            grant = await turn(box, f"t{number}")
            assert [m.text for m in grant.messages] == [expected]
            answer = await box.commit_result(BOX, run=RUN, turn=grant.turn, result=OK)
            assert answer is CommitAnswer.COMMITTED

    async def test_an_entry_added_by_hand_with_text_alone(
        self, box: MailboxStore, redis_either: Redis
    ) -> None:
        await redis_either.xadd(MailboxKeys(BOX).incoming, {"text": "by hand"})
        [(entry, _)] = await entries(redis_either, MailboxKeys(BOX).incoming)
        grant = await turn(box)
        assert [(m.id, m.text, m.files) for m in grant.messages] == [(entry, "by hand", ())]
        assert grant.conversation == 1
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert (await box.state(BOX)).waiting == 0
        [(_, outgoing)] = await entries(redis_either, MailboxKeys(BOX).outgoing)
        assert json.loads(outgoing["reply_to"]) == [entry]

    async def test_an_entry_deleted_by_hand_is_passed_over(
        self, box: MailboxStore, redis_either: Redis
    ) -> None:
        await prompt(box, "a", 1)
        await prompt(box, "b", 2)
        [(first, _), _] = await entries(redis_either, MailboxKeys(BOX).incoming)
        await redis_either.xgroup_create(MailboxKeys(BOX).incoming, keys.GROUP, "0")
        await redis_either.xreadgroup(
            keys.GROUP, keys.CONSUMER, {MailboxKeys(BOX).incoming: ">"}, count=1
        )
        await redis_either.xdel(MailboxKeys(BOX).incoming, first)
        assert [m.text for m in (await turn(box)).messages] == ["b"]

    async def test_more_messages_than_one_turn_takes(
        self, box: MailboxStore, redis_either: Redis
    ) -> None:
        for number in range(130):
            await redis_either.xadd(MailboxKeys(BOX).incoming, {"text": str(number)})
        assert len((await turn(box, "t1")).messages) == 100
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert [m.text for m in (await turn(box, "t2")).messages] == [
            str(number) for number in range(100, 130)
        ]

    async def test_refused(self, box: MailboxStore) -> None:
        await prompt(box)
        assert (await turn(box, run=NEXT_RUN)).answer is RunAnswer.STALE
        assert (await turn(box, pod_uid="pod-uid-2")).answer is RunAnswer.OTHER_POD
        await box.drain(BOX, run=RUN, by_hand=True)
        assert (await turn(box)).answer is RunAnswer.DRAINED
        assert (await box.state(BOX)).turn is None

    async def test_a_dead_runs_turn_goes_to_the_next_run(
        self, box: MailboxStore, redis_either: Redis
    ) -> None:
        await prompt(box)
        first = await turn(box, seconds=10)
        await box.model_status(BOX, turn="t1", status=529)
        await begin(box, NEXT_RUN, expected=RUN, pod_uid="pod-uid-2")
        grant = await turn(box, "t2", run=NEXT_RUN, pod_uid="pod-uid-2", seconds=500)
        assert (grant.turn, grant.attempt, grant.messages) == ("t1", 2, first.messages)
        assert 490 < grant.remaining_seconds <= 500
        assert (await hints(redis_either))[-1] == "turn"
        again = await turn(box, "t3", run=NEXT_RUN, pod_uid="pod-uid-2")
        assert (again.turn, again.attempt) == ("t1", 2)
        late = await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert late is CommitAnswer.STALE
        done = await box.commit_result(BOX, run=NEXT_RUN, turn="t1", result=OK)
        assert done is CommitAnswer.COMMITTED
        last = (await box.state(BOX)).last
        assert last is not None
        # The status of the first attempt's model call says nothing about the second.
        assert (last.run, last.model_status) == (NEXT_RUN, None)
