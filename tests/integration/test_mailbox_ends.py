"""How runs end in a mailbox, against a real Valkey in both versions of its protocol."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from agentsession_core.mailbox.answers import CommitAnswer, RunAnswer
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import RunState
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.mailboxes import (
    BOX,
    NEXT_RUN,
    OK,
    POD,
    RUN,
    begin,
    hints,
    prompt,
    turn,
)


class TestDrainAndBye:
    async def test_orderly_end(self, box: MailboxStore, redis_either: Redis) -> None:
        assert await box.drain(BOX, run=RUN, by_hand=False) is RunAnswer.DRAINED
        assert await box.drain(BOX, run=RUN, by_hand=False) is RunAnswer.DRAINED
        assert await box.bye(BOX, run=RUN, pod_uid=POD) is RunAnswer.BYE
        state = await box.state(BOX)
        assert state.run is not None
        assert state.run.state is RunState.DRAINED
        assert state.run.bye_at is not None
        assert await hints(redis_either) == ["hello", "drain", "bye"]

    async def test_a_waiting_message_refuses_the_drain(self, box: MailboxStore) -> None:
        await prompt(box)
        assert await box.drain(BOX, run=RUN, by_hand=False) is RunAnswer.BUSY

    async def test_a_running_turn_refuses_the_drain(self, box: MailboxStore) -> None:
        await prompt(box)
        await turn(box)
        assert await box.drain(BOX, run=RUN, by_hand=False) is RunAnswer.BUSY
        await prompt(box, "more", 2)
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert (await turn(box, "t2")).answer is RunAnswer.TURN

    async def test_by_hand_messages_wait(self, box: MailboxStore) -> None:
        await prompt(box)
        assert await box.drain(BOX, run=RUN, by_hand=True) is RunAnswer.DRAINED
        assert await box.bye(BOX, run=RUN, pod_uid=POD) is RunAnswer.BYE
        assert (await box.state(BOX)).waiting == 1

    async def test_a_message_meanwhile_reopens(self, box: MailboxStore) -> None:
        await box.drain(BOX, run=RUN, by_hand=False)
        await prompt(box)
        assert await box.bye(BOX, run=RUN, pod_uid=POD) is RunAnswer.REOPENED
        state = await box.state(BOX)
        assert state.run is not None
        assert (state.run.state, state.run.drained_at, state.run.bye_at) == (
            RunState.OPEN,
            None,
            None,
        )
        assert (await turn(box)).answer is RunAnswer.TURN

    async def test_a_bye_repeated_after_a_message_keeps_the_runner(self, box: MailboxStore) -> None:
        await box.drain(BOX, run=RUN, by_hand=False)
        assert await box.bye(BOX, run=RUN, pod_uid=POD) is RunAnswer.BYE
        assert await box.bye(BOX, run=RUN, pod_uid=POD) is RunAnswer.BYE
        await prompt(box)
        assert await box.bye(BOX, run=RUN, pod_uid=POD) is RunAnswer.REOPENED
        state = await box.state(BOX)
        assert state.run is not None
        assert state.run.bye_at is None

    async def test_of_another_run_or_pod(self, box: MailboxStore) -> None:
        assert await box.drain(BOX, run=NEXT_RUN, by_hand=True) is RunAnswer.STALE
        assert await box.bye(BOX, run=NEXT_RUN, pod_uid=POD) is RunAnswer.STALE
        assert await box.bye(BOX, run=RUN, pod_uid="pod-uid-2") is RunAnswer.OTHER_POD


class TestTheLastTurn:
    """By hand, or for an upgrade: the running turn ends, then the run, although messages wait."""

    async def test_the_next_message_is_the_next_runs(self, box: MailboxStore) -> None:
        await prompt(box)
        await turn(box)
        await prompt(box, "more", 2)
        assert await box.drain(BOX, run=RUN, by_hand=True, why="Outdated") is RunAnswer.BUSY
        state = await box.state(BOX)
        assert state.run is not None
        assert (state.run.last_turn, state.run.why) == (True, "Outdated")
        assert state.waiting_behind_turn == 1
        assert (await turn(box)).turn == "t1", "the running turn is given again, as ever"
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        # Not even a gateway that is faster than the operator gives this run another turn.
        assert (await turn(box, "t2")).answer is RunAnswer.DRAINED
        assert await box.bye(BOX, run=RUN, pod_uid=POD) is RunAnswer.BYE
        await begin(box, NEXT_RUN, RUN, "pod-uid-2")
        assert (await turn(box, "t2", NEXT_RUN, "pod-uid-2")).answer is RunAnswer.TURN

    async def test_is_taken_back(self, box: MailboxStore) -> None:
        await prompt(box)
        await turn(box)
        await prompt(box, "more", 2)
        await box.drain(BOX, run=RUN, by_hand=True, why="SuspendedByUser")
        await box.keep_run(BOX, run=NEXT_RUN)
        await box.keep_run(BOX, run=RUN)
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        state = await box.state(BOX)
        assert state.run is not None
        assert (state.run.last_turn, state.run.why, state.run.state) == (
            False,
            None,
            RunState.OPEN,
        )
        assert (await turn(box, "t2")).answer is RunAnswer.TURN

    async def test_why_a_run_was_drained_is_kept_until_it_goes_on(self, box: MailboxStore) -> None:
        await box.drain(BOX, run=RUN, by_hand=False, why="Idle")
        state = await box.state(BOX)
        assert state.run is not None
        assert state.run.why == "Idle"
        await prompt(box)
        await box.bye(BOX, run=RUN, pod_uid=POD)
        state = await box.state(BOX)
        assert state.run is not None
        assert state.run.why is None


class TestEndRun:
    """The operator ends a run that does not end by itself: nobody speaks for it any more."""

    async def end(self, box: MailboxStore, *, counted: bool, run: str = RUN) -> None:
        await box.end_run(BOX, run=run, reason="RunnerSilent", message="no hello", counted=counted)

    async def test_every_call_of_its_pod_is_refused(self, box: MailboxStore) -> None:
        await prompt(box)
        await turn(box)
        await self.end(box, counted=True)
        assert (await box.hello(BOX, run=RUN, pod_uid=POD, pod="p")).answer is RunAnswer.STALE
        check = await box.check_run(BOX, run=RUN, pod_uid=POD, grace_seconds=60)
        assert check.answer is RunAnswer.STALE
        assert (await turn(box)).answer is RunAnswer.STALE
        assert await box.bye(BOX, run=RUN, pod_uid=POD) is RunAnswer.STALE
        assert await box.drain(BOX, run=RUN, by_hand=True) is RunAnswer.STALE

    async def test_its_turn_goes_to_the_next_run(self, box: MailboxStore) -> None:
        await prompt(box)
        await turn(box)
        await self.end(box, counted=True)
        await begin(box, NEXT_RUN, RUN, "pod-uid-2")
        again = await turn(box, "t2", NEXT_RUN, "pod-uid-2")
        assert (again.turn, again.attempt) == ("t1", 2)
        late = await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert late is CommitAnswer.STALE

    @pytest.mark.parametrize("counted", [True, False])
    async def test_is_counted_once_or_not_at_all(self, box: MailboxStore, counted: bool) -> None:
        for _ in range(2):
            await self.end(box, counted=counted)
        state = await box.state(BOX)
        assert state.run is not None
        assert (state.run.state, state.run.why) == (RunState.ENDED, "RunnerSilent")
        if counted:
            assert state.failure is not None
            assert (state.failure.count, state.failure.message) == (1, "no hello")
        else:
            assert state.failure is None

    async def test_another_run_is_not_touched(self, box: MailboxStore, redis_either: Redis) -> None:
        before = await redis_either.hgetall(MailboxKeys(BOX).run)
        await self.end(box, counted=True, run=NEXT_RUN)
        assert await redis_either.hgetall(MailboxKeys(BOX).run) == before
        assert (await box.state(BOX)).failure is None
        assert await hints(redis_either) == ["hello"]


class TestFailures:
    async def test_counted_once_per_run_and_forgotten_by_a_turn(self, box: MailboxStore) -> None:
        for run in (RUN, RUN, NEXT_RUN):
            await box.run_failed(BOX, run=run, reason="RunFailed", message="exit code 1")
        failure = (await box.state(BOX)).failure
        assert failure is not None
        assert (failure.count, failure.run, failure.reason) == (2, NEXT_RUN, "RunFailed")
        assert failure.message == "exit code 1"
        await prompt(box)
        await turn(box)
        await box.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert (await box.state(BOX)).failure is None

    async def test_forgotten_by_an_orderly_end(self, box: MailboxStore) -> None:
        await box.run_failed(BOX, run="uid-a/0", reason="RunFailed", message="exit code 1")
        await box.drain(BOX, run=RUN, by_hand=False)
        await box.bye(BOX, run=RUN, pod_uid=POD)
        assert (await box.state(BOX)).failure is None
