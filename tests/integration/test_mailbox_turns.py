"""Runs, turns and results of a mailbox, against a real Valkey in both versions of its protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest
from redis.asyncio import Redis

from agentsession_core.api import LaunchType, TurnOutcome
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import (
    CommitAnswer,
    ResultRecord,
    RunAnswer,
    RunState,
    TurnGrant,
)
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.mailboxes import (
    BOX,
    NEXT_RUN,
    OK,
    POD,
    RUN,
    UID,
    begin,
    hints,
    prompt,
    turn,
)
from agentsession_testing.valkey import entries


@pytest.fixture
async def box(store_either: MailboxStore) -> MailboxStore:
    """A mailbox whose first run is current and has said hello."""
    await begin(store_either)
    return store_either


class TestBeginRun:
    async def test_first(self, store_either: MailboxStore) -> None:
        assert await store_either.begin_run(
            BOX, run=RUN, expected="", session_uid=UID, launch=LaunchType.RESUME
        )
        state = await store_either.state(BOX)
        assert state.run is not None
        assert (state.run.run, state.run.state, state.run.pod_uid) == (RUN, RunState.OPEN, None)
        assert state.run.launch == "resume"
        assert 0 <= state.now - state.run.begun_at < 60
        assert state.session_uid == UID

    async def test_again_changes_nothing(self, box: MailboxStore) -> None:
        before = (await box.state(BOX)).run
        assert await box.begin_run(
            BOX, run=RUN, expected="", session_uid=UID, launch=LaunchType.COLD
        )
        assert (await box.state(BOX)).run == before

    @pytest.mark.parametrize("expected", ["", "uid-a/0", "uid-b/1"])
    async def test_refused_when_another_run_is_current(
        self, box: MailboxStore, expected: str
    ) -> None:
        assert not await box.begin_run(
            BOX, run=NEXT_RUN, expected=expected, session_uid=UID, launch=LaunchType.COLD
        )
        state = await box.state(BOX)
        assert state.run is not None
        assert state.run.run == RUN

    async def test_the_next_run_starts_afresh(self, box: MailboxStore) -> None:
        await box.drain(BOX, run=RUN, by_hand=False)
        await box.bye(BOX, run=RUN, pod_uid=POD)
        assert await box.begin_run(
            BOX, run=NEXT_RUN, expected=RUN, session_uid=UID, launch=LaunchType.RESUME
        )
        state = await box.state(BOX)
        assert state.run is not None
        assert (state.run.run, state.run.state) == (NEXT_RUN, RunState.OPEN)
        assert (state.run.pod_uid, state.run.hello_at, state.run.bye_at) == (None, None, None)

    async def test_reopens_a_closed_mailbox(self, store_either: MailboxStore) -> None:
        await store_either.close(BOX, session_uid=UID)
        await begin(store_either)
        assert not (await store_either.state(BOX)).closed


class TestHello:
    async def test_binds_the_first_pod(self, box: MailboxStore, redis_either: Redis) -> None:
        state = await box.state(BOX)
        assert state.run is not None
        assert (state.run.pod_uid, state.run.pod) == (POD, "pod")
        assert state.run.hello_at is not None
        assert await hints(redis_either) == ["hello"]

    async def test_again_keeps_the_first_time(self, box: MailboxStore) -> None:
        before = (await box.state(BOX)).run
        answer = await box.hello(BOX, run=RUN, pod_uid=POD, pod="pod")
        assert answer.answer is RunAnswer.OK
        assert (await box.state(BOX)).run == before

    @pytest.mark.parametrize(
        ("run", "pod_uid", "expected"),
        [
            (RUN, "pod-uid-2", RunAnswer.OTHER_POD),
            (NEXT_RUN, POD, RunAnswer.STALE),
            ("uid-b/1", POD, RunAnswer.STALE),
        ],
    )
    async def test_refused(
        self, box: MailboxStore, run: str, pod_uid: str, expected: RunAnswer
    ) -> None:
        assert (await box.hello(BOX, run=run, pod_uid=pod_uid, pod="x")).answer is expected

    async def test_refused_where_no_run_is(self, store_either: MailboxStore) -> None:
        answer = await store_either.hello(BOX, run=RUN, pod_uid=POD, pod="x")
        assert answer.answer is RunAnswer.STALE

    async def test_tells_the_conversation(self, box: MailboxStore) -> None:
        await prompt(box)
        await turn(box)
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        answer = await box.hello(BOX, run=RUN, pod_uid=POD, pod="pod")
        assert (answer.conversation, answer.agent_session_id) == (1, "conversation-id")


class TestCheckRun:
    async def check(self, store: MailboxStore, **change: str) -> tuple[object, ...]:
        arguments = {"run": RUN, "pod_uid": POD, **change}
        answer = await store.check_run(BOX, grace_seconds=60, **arguments)
        return (answer.answer, answer.drained, answer.turn, answer.turn_active)

    async def test_idle(self, box: MailboxStore) -> None:
        assert await self.check(box) == (RunAnswer.OK, False, None, False)

    async def test_a_turns_grace_ends_with_the_runs_bye(self, box: MailboxStore) -> None:
        await prompt(box)
        await turn(box)
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        await box.drain(BOX, run=RUN, by_hand=False)
        assert await self.check(box) == (RunAnswer.OK, True, None, True)
        await box.bye(BOX, run=RUN, pod_uid=POD)
        assert await self.check(box) == (RunAnswer.OK, True, None, False)

    async def test_drained(self, box: MailboxStore) -> None:
        await box.drain(BOX, run=RUN, by_hand=False)
        assert await self.check(box) == (RunAnswer.OK, True, None, False)

    async def test_working_then_grace(self, box: MailboxStore, redis_either: Redis) -> None:
        await prompt(box)
        await turn(box)
        assert await self.check(box) == (RunAnswer.OK, False, "t1", True)
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert await self.check(box) == (RunAnswer.OK, False, None, True)
        finished = (await box.state(BOX)).now - 62
        await redis_either.hset(MailboxKeys(BOX).last, "finished_at", str(finished))
        assert await self.check(box) == (RunAnswer.OK, False, None, False)

    async def test_refused(self, box: MailboxStore) -> None:
        assert (await self.check(box, run=NEXT_RUN))[0] is RunAnswer.STALE
        assert (await self.check(box, pod_uid="pod-uid-2"))[0] is RunAnswer.OTHER_POD

    async def test_before_hello_no_pod_speaks_for_the_run(self, store_either: MailboxStore) -> None:
        await store_either.begin_run(
            BOX, run=RUN, expected="", session_uid=UID, launch=LaunchType.COLD
        )
        assert (await self.check(store_either))[0] is RunAnswer.OTHER_POD


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


class TestRememberConversation:
    async def test_at_once(self, box: MailboxStore) -> None:
        await prompt(box)
        await turn(box)
        assert await box.remember_conversation(BOX, run=RUN, turn="t1", agent_session_id="c1")
        assert (await box.state(BOX)).agent_session_id == "c1"

    @pytest.mark.parametrize(("run", "name"), [(NEXT_RUN, "t1"), (RUN, "other")])
    async def test_refused(self, box: MailboxStore, run: str, name: str) -> None:
        await prompt(box)
        await turn(box)
        assert not await box.remember_conversation(BOX, run=run, turn=name, agent_session_id="c1")
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


class TestEpoch:
    async def test_the_first_stays(self, store_either: MailboxStore, redis_either: Redis) -> None:
        await redis_either.flushall()
        assert await store_either.epoch() is None
        assert (await store_either.state(BOX)).epoch is None
        assert await store_either.begin_epoch("one") == "one"
        assert await store_either.begin_epoch("two") == "one"
        assert (await store_either.state(BOX)).epoch == "one"
