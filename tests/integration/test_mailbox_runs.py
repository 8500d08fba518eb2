"""Runs of a mailbox and who speaks for them, against a real Valkey in both versions of its protocol."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from agentsession_core.api import LaunchType
from agentsession_core.mailbox.answers import RunAnswer
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import RunState
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


class TestEpoch:
    async def test_the_first_stays(self, store_either: MailboxStore, redis_either: Redis) -> None:
        await redis_either.flushall()
        assert await store_either.epoch() is None
        assert (await store_either.state(BOX)).epoch is None
        assert await store_either.begin_epoch("one") == "one"
        assert await store_either.begin_epoch("two") == "one"
        assert (await store_either.state(BOX)).epoch == "one"
