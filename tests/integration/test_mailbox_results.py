"""Results of turns, against a real Valkey in both versions of its protocol."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from redis.asyncio import Redis

from agentsession_core.api import TurnOutcome
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.answers import CommitAnswer
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.mailboxes import (
    BOX,
    NEXT_RUN,
    OK,
    RUN,
    hints,
    prompt,
    turn,
)
from agentsession_testing.valkey import entries


class TestCommitResult:
    async def test_a_prompts_result(self, box: MailboxStore, redis_either: Redis) -> None:
        await prompt(box)
        await turn(box)
        record = ResultRecord(TurnOutcome.FAILED, "text", "conv", "code", "message")
        answer = await box.commit_result(BOX, run=RUN, turn="t1", result=record)
        assert answer is CommitAnswer.COMMITTED
        state = await box.state(BOX)
        assert (state.waiting, state.turn, state.agent_session_id) == (0, None, "conv")
        assert state.usage.turns == 1
        assert state.last is not None
        assert (state.last.turn, state.last.run, state.last.source) == ("t1", RUN, "prompt")
        assert (state.last.outcome, state.last.reply) == (TurnOutcome.FAILED, "text")
        assert (state.last.error_code, state.last.error_message) == ("code", "message")
        assert state.last.message_id == "uid-a.1"
        assert state.last.started_at <= state.last.finished_at == state.last_activity
        assert await box.backlog() == []
        assert await redis_either.exists(MailboxKeys(BOX).outgoing) == 0
        assert (await hints(redis_either))[-1] == "result"

    async def test_twice_is_once(self, box: MailboxStore, redis_either: Redis) -> None:
        await redis_either.xadd(MailboxKeys(BOX).incoming, {"text": "a", "source": "telegram"})
        await turn(box)
        answers = [await box.commit_result(BOX, run=RUN, turn="t1", result=OK) for _ in range(3)]
        assert answers == [CommitAnswer.COMMITTED, CommitAnswer.ALREADY, CommitAnswer.ALREADY]
        assert await redis_either.xlen(MailboxKeys(BOX).outgoing) == 1
        assert await redis_either.xlen(keys.OUTGOING_READY) == 1
        assert (await box.state(BOX)).usage.turns == 1

    async def test_a_chats_result_goes_out(self, box: MailboxStore, redis_either: Redis) -> None:
        # An entry without `at` came in its whole millisecond; in the hello's own it would be before it.
        await asyncio.sleep(0.002)
        for message in ("m1", "m2"):
            await redis_either.xadd(
                MailboxKeys(BOX).incoming,
                {"id": message, "text": "a", "source": "telegram", "chat": "7"},
            )
        await turn(box)
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        [(_, outgoing)] = await entries(redis_either, MailboxKeys(BOX).outgoing)
        assert json.loads(outgoing.pop("reply_to")) == ["m1", "m2"]
        assert float(outgoing.pop("at")) > float(outgoing.pop("came_at")) > 0
        assert outgoing == {
            "id": "t1",
            "kind": "answer",
            "launch": "warm",
            "chat": "7",
            "turn": "t1",
            "outcome": "Succeeded",
            "text": "the answer",
        }
        [(_, ready)] = await entries(redis_either, keys.OUTGOING_READY)
        assert ready == {"mailbox": "42"}

    async def test_a_terminals_result_is_an_event(
        self, box: MailboxStore, redis_either: Redis
    ) -> None:
        await redis_either.xadd(
            MailboxKeys(BOX).incoming, {"id": "m-1", "text": "a", "source": "terminal"}
        )
        await turn(box)
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        begun, ended = await box.all_events(BOX)
        assert (begun.turn, begun.kind, begun.source) == ("t1", "turn", "terminal")
        assert begun.data | {"at": 0} == {
            "phase": "begun",
            "attempt": 1,
            "messages": [{"id": "m-1", "text": "a"}],
            "at": 0,
        }
        assert (ended.turn, ended.kind, ended.source) == ("t1", "turn", "terminal")
        assert ended.data | {"at": 0} == {
            "phase": "ended",
            "outcome": "Succeeded",
            "text": "the answer",
            "errorMessage": "",
            "truncated": False,
            "messages": ["m-1"],
            "at": 0,
        }
        assert await redis_either.exists(MailboxKeys(BOX).outgoing) == 0
        assert await box.newest_event(BOX) == ended.id
        assert await box.next_events(BOX, begun.id, 1) == [ended]
        assert await box.next_events(BOX, ended.id, 0.01) == []

    async def test_words_of_a_chat_are_in_no_event(
        self, box: MailboxStore, redis_either: Redis
    ) -> None:
        fields: dict[Any, Any] = {"id": "m-1", "text": "the secret", "source": "telegram"}
        await redis_either.xadd(MailboxKeys(BOX).incoming, fields)
        await turn(box)
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        begun, ended = await box.all_events(BOX)
        assert begun.data["messages"] == [{"id": "m-1"}]
        assert ended.data["outcome"] == "Succeeded"
        assert "text" not in ended.data
        assert "the secret" not in json.dumps([begun.data, ended.data])

    async def test_a_long_answer_is_cut_in_its_event(
        self, box: MailboxStore, redis_either: Redis
    ) -> None:
        await redis_either.xadd(MailboxKeys(BOX).incoming, {"text": "a", "source": "terminal"})
        await turn(box)
        long = ResultRecord(TurnOutcome.SUCCEEDED, "x" * 70_000)
        await box.commit_result(BOX, run=RUN, turn="t1", result=long)
        ended = (await box.all_events(BOX))[-1]
        assert (len(ended.data["text"]), ended.data["truncated"]) == (65536, True)
        last = (await box.state(BOX)).last
        assert last is not None
        assert len(last.reply) == 70_000

    async def test_refused(self, box: MailboxStore) -> None:
        async def commit(turn_id: str, run: str) -> CommitAnswer:
            return await box.commit_result(BOX, run=run, turn=turn_id, result=OK)

        assert await commit("t1", RUN) is CommitAnswer.UNKNOWN_TURN
        await prompt(box)
        await turn(box)
        assert await commit("other", RUN) is CommitAnswer.UNKNOWN_TURN
        assert await commit("t1", NEXT_RUN) is CommitAnswer.STALE
        state = await box.state(BOX)
        assert (state.waiting, state.last) == (1, None)

    async def test_messages_that_came_meanwhile_stay(self, box: MailboxStore) -> None:
        await prompt(box, "a", 1)
        await turn(box)
        await prompt(box, "b", 2)
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert (await box.state(BOX)).waiting == 1
        assert await box.backlog() == [BOX]

    async def test_carries_the_gateways_words_about_the_model(self, box: MailboxStore) -> None:
        await prompt(box)
        await turn(box)
        for status, detail in ((429, "slow down"), (402, "pay, ä\x00")):
            await box.model_status(BOX, turn="t1", status=status, code=f"c{status}", detail=detail)
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        last = (await box.state(BOX)).last
        assert last is not None
        assert (last.model_code, last.model_detail) == ("c402", "pay, ä\x00")

    async def test_a_success_clears_the_gateways_words(self, box: MailboxStore) -> None:
        await prompt(box)
        await turn(box)
        await box.model_status(BOX, turn="t1", status=429, code="c", detail="d")
        await box.model_status(BOX, turn="t1", status=200)
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        last = (await box.state(BOX)).last
        assert last is not None
        assert (last.model_status, last.model_code, last.model_detail) == (None, "", "")

    @pytest.mark.parametrize(
        ("statuses", "expected"), [([401], 401), ([529, 200], None), ([200, 500], 500), ([], None)]
    )
    async def test_carries_the_gateways_own_record_of_the_model(
        self, box: MailboxStore, statuses: list[int], expected: int | None
    ) -> None:
        await prompt(box)
        await turn(box)
        for status in statuses:
            await box.model_status(BOX, turn="t1", status=status)
        await box.model_status(BOX, turn="another", status=418)
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        await box.model_status(BOX, turn="t1", status=418)
        last = (await box.state(BOX)).last
        assert last is not None
        assert last.model_status == expected
        assert (await box.state(BOX)).turn is None

    async def test_an_answer_for_an_older_conversation_does_not_name_the_new_one(
        self, box: MailboxStore, redis_either: Redis
    ) -> None:
        await prompt(box)
        await turn(box)
        await redis_either.hset(MailboxKeys(BOX).state, "conversation", "2")
        assert not await box.remember_conversation(BOX, run=RUN, turn="t1", agent_session_id="old")
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert (await box.state(BOX)).agent_session_id is None


class TestUsageAndEvents:
    async def test_usage_of_mailbox_and_day(self, box: MailboxStore, redis_either: Redis) -> None:
        for _ in range(2):
            await box.add_usage(
                BOX,
                "user",
                "2026-11-23",
                {"input_tokens": 10, "output_tokens": 3, "cost_nanousd": 5},
            )
        usage = (await box.state(BOX)).usage
        assert (usage.input_tokens, usage.output_tokens, usage.cost_nanousd) == (20, 6, 10)
        daily = keys.daily_usage("user", "2026-11-23")
        assert await redis_either.hget(daily, "input_tokens") == b"20"
        assert 39 * 86_400 < await redis_either.ttl(daily) <= 40 * 86_400
        await box.add_usage(BOX, "user", "2026-11-23", {"input_tokens": 1, "unpriced": 1})
        assert (await box.state(BOX)).usage.cost_nanousd is None

    async def test_events_in_order(self, box: MailboxStore, redis_either: Redis) -> None:
        await box.publish_events(
            BOX, "t1", "api", [(1, "delta", {"text": "ä"}), (2, "tool", {"name": "Bash"})]
        )
        assert [fields for _, fields in await entries(redis_either, MailboxKeys(BOX).events)] == [
            {"turn": "t1", "seq": "1", "kind": "delta", "source": "api", "data": '{"text": "ä"}'},
            {"turn": "t1", "seq": "2", "kind": "tool", "source": "api", "data": '{"name": "Bash"}'},
        ]

    async def test_hints_miss_nothing_after_the_first(self, box: MailboxStore) -> None:
        following = box.hints(block_seconds=1)
        assert (await anext(following)).mailbox == ""
        await prompt(box, "a", 1)
        await prompt(box, "b", 2)
        assert [(await anext(following)).kind for _ in range(2)] == ["message", "message"]
        await following.aclose()
