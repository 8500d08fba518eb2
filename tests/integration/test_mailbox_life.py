"""How mailboxes are kept, ended, taken over and made anew, against a real Valkey."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from agentsession_core.api import LaunchType
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.answers import (
    Admission,
    CommitAnswer,
    PromptAdmission,
    RunAnswer,
)
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.life import EndAnswer, LiveRun, OutgoingAnswer, Rebuild
from agentsession_core.mailbox.model import RunState, UsageRecord
from agentsession_core.mailbox.parse import read_text
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

K = MailboxKeys(BOX)
TEXT = "The session is gone."
KNOWN = Rebuild(
    mailbox=BOX,
    session_uid=UID,
    user="42",
    agent_session_id="conversation-1",
    last_activity=1_000.0,
    handled=None,
    live=LiveRun(NEXT_RUN, 900.0, POD, "pod", "resume"),
    expected="",
    lost_message=None,
    usage=UsageRecord(4, 10, 20, 1_500_000),
)


@pytest.fixture
def store(store_either: MailboxStore) -> MailboxStore:
    return store_either


async def chat(store: MailboxStore, message: str, where: str = "7", text: str = "hi") -> None:
    new = NewMessage(source=Source.TELEGRAM, id=message, chat=where, text=text)
    assert (await store.ingest(BOX, new)).admission is Admission.NEW


async def end(store: MailboxStore, uid: str = UID) -> EndAnswer:
    return await store.end_mailbox(BOX, session_uid=uid, text=TEXT)


async def said(redis: Redis) -> list[tuple[str, str, list[str]]]:
    """(kind, chat, reply_to) of everything in outgoing."""
    return [
        (entry["kind"], entry["chat"], json.loads(entry["reply_to"]))
        for _, entry in await entries(redis, K.outgoing)
    ]


class TestKeep:
    async def test_begins_the_idle_time_anew(
        self, store: MailboxStore, redis_either: Redis
    ) -> None:
        await begin(store)
        await redis_either.zadd(keys.SESSIONS_ACTIVITY, {BOX: 1.0})
        assert await store.keep(BOX)
        state = await store.state(BOX)
        assert state.last_activity == pytest.approx(state.now, abs=5)
        assert (await hints(redis_either))[-1] == "keep"

    async def test_a_mailbox_that_nobody_used(self, store: MailboxStore) -> None:
        assert await store.keep(BOX)
        assert await store.mailboxes() == [BOX]

    async def test_too_late(self, store: MailboxStore) -> None:
        await begin(store)
        await store.close(BOX, session_uid=UID)
        assert not await store.keep(BOX)
        assert (await store.state(BOX)).closed

    async def test_a_warning_is_noted_once(self, store: MailboxStore) -> None:
        await begin(store)
        for _ in range(2):
            await store.note_warning(BOX, session_uid=UID, end=99)
        state = await store.state(BOX)
        assert state.warned == 99
        assert state.warned_at == pytest.approx(state.now, abs=5)
        await store.note_warning(BOX, session_uid="uid-b", end=100)
        assert (await store.state(BOX)).warned == 99


class TestEnd:
    async def test_who_waits_is_answered_and_everything_goes(
        self, store: MailboxStore, redis_either: Redis
    ) -> None:
        await begin(store)
        await chat(store, "m1")
        await turn(store)
        await chat(store, "m2")
        await chat(store, "m3", where="8")
        await prompt(store)
        await redis_either.xadd(K.incoming, {"text": "by hand"})
        assert await end(store) is EndAnswer.ENDED
        answered = await said(redis_either)
        assert answered[:2] == [("notice", "7", ["m1", "m2"]), ("notice", "8", ["m3"])]
        assert [(kind, where) for kind, where, _ in answered[2:]] == [("notice", "")]
        left = {read_text(key) for key in await redis_either.keys("user:*")}
        assert left == {K.outgoing, K.ended, *(K.seen("telegram", m) for m in ("m1", "m2", "m3"))}
        ready = await entries(redis_either, keys.OUTGOING_READY)
        assert [entry["mailbox"] for _, entry in ready] == [BOX] * 3
        for name in (keys.SESSIONS_BACKLOG, keys.SESSIONS_MAILBOXES, keys.SESSIONS_ACTIVITY):
            assert not await redis_either.exists(name)
        assert (await hints(redis_either))[-1] == "deleted"
        # A result that comes now answers nobody a second time.
        late = await store.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert late is CommitAnswer.UNKNOWN_TURN
        assert await end(store) is EndAnswer.ENDED
        assert len(await said(redis_either)) == 3

    async def test_outgoing_goes_after_its_delivery(
        self, store: MailboxStore, redis_either: Redis
    ) -> None:
        await begin(store)
        await chat(store, "m1")
        await end(store)
        assert await store.undelivered() == [BOX]
        wait = await store.finish_outgoing(BOX, keep_seconds=60)
        assert wait is OutgoingAnswer.WAITS
        [(entry_id, _)] = await entries(redis_either, K.outgoing)
        await redis_either.xdel(K.outgoing, entry_id)
        assert await redis_either.exists(K.outgoing), "Redis keeps an empty stream"
        assert await store.finish_outgoing(BOX, keep_seconds=60) is OutgoingAnswer.DELIVERED
        assert not await redis_either.exists(K.outgoing)
        assert await store.undelivered() == []
        assert await store.finish_outgoing(BOX, keep_seconds=60) is OutgoingAnswer.KNOWN

    async def test_nobody_ever_delivers(self, store: MailboxStore, redis_either: Redis) -> None:
        await begin(store)
        await chat(store, "m1")
        await end(store)
        await redis_either.zadd(keys.SESSIONS_UNDELIVERED, {BOX: 1.0})
        assert await store.finish_outgoing(BOX, keep_seconds=60) is OutgoingAnswer.DROPPED
        assert not await redis_either.exists(K.outgoing)

    async def test_a_new_session_keeps_what_is_undelivered(
        self, store: MailboxStore, redis_either: Redis
    ) -> None:
        await begin(store)
        await chat(store, "m1")
        await end(store)
        await begin(store, "uid-b/1", "")
        assert await store.finish_outgoing(BOX, keep_seconds=0) is OutgoingAnswer.TAKEN
        assert len(await said(redis_either)) == 1
        assert await store.undelivered() == []

    async def test_with_nothing_to_say_nothing_is_left(
        self, store: MailboxStore, redis_either: Redis
    ) -> None:
        await begin(store)
        await prompt(store)
        assert await end(store) is EndAnswer.ENDED
        assert await redis_either.keys("user:*") == [K.ended.encode()]
        assert await store.undelivered() == []

    async def test_a_newer_sessions_mailbox_is_left_alone(self, store: MailboxStore) -> None:
        await begin(store)
        assert await end(store, "uid-b") is EndAnswer.TAKEN
        assert (await store.state(BOX)).session_uid == UID

    async def test_a_message_after_the_closing_waits_for_the_next_session_or_is_answered(
        self, store: MailboxStore, redis_either: Redis
    ) -> None:
        await begin(store)
        await store.close(BOX, session_uid=UID)
        await chat(store, "m1")
        assert await end(store) is EndAnswer.REOPENED
        state = await store.state(BOX)
        assert (state.waiting, state.session_uid, state.source, state.chat) == (
            1, None, "telegram", "7",
        )  # fmt: skip
        assert await store.mailboxes() == [BOX]
        # No session has come for it: the sweep ends the mailbox as nobody's.
        assert await end(store, "") is EndAnswer.ENDED
        assert await said(redis_either) == [("notice", "7", ["m1"])]

    async def test_a_prompt_of_the_session_itself_is_none_for_the_next(
        self, store: MailboxStore
    ) -> None:
        await begin(store)
        await store.close(BOX, session_uid=UID)
        await chat(store, "m1")
        await prompt(store)
        assert await end(store) is EndAnswer.ENDED


class TestAdopt:
    async def test_everything_goes_on(self, store: MailboxStore) -> None:
        await begin(store)
        await prompt(store)
        await turn(store)
        await store.commit_result(BOX, run=RUN, turn="t1", result=OK)
        await chat(store, "m1")
        assert await store.adopt(BOX, previous_uid=UID, session_uid="uid-b", user="42")
        assert not await store.adopt(BOX, previous_uid=UID, session_uid="uid-c", user="42")
        state = await store.state(BOX)
        assert (state.session_uid, state.user, state.waiting) == ("uid-b", "42", 1)
        assert state.agent_session_id == OK.agent_session_id
        again = await store.ingest_prompt(
            BOX, uid="uid-b", generation=1, sha256="hello", text="hello", known_sha256=None
        )
        assert again is PromptAdmission.KNOWN
        assert await end(store) is EndAnswer.TAKEN, "the late clean-up of the session before"


class TestUnfitSkills:
    async def test_are_known_until_the_next_hello(self, store: MailboxStore) -> None:
        async def hello(run: str, problem: str) -> None:
            answer = await store.hello(BOX, run=run, pod_uid=POD, pod="p", skill_problem=problem)
            assert answer.answer is RunAnswer.OK

        async def known() -> str:
            run = (await store.state(BOX)).run
            assert run is not None
            return run.skill_problem

        await begin(store)
        await hello(RUN, "there is no ConfigMap team")
        assert await known() == "there is no ConfigMap team"
        await store.begin_run(
            BOX, run=NEXT_RUN, expected=RUN, session_uid=UID, launch=LaunchType.RESUME
        )
        assert await known() == "there is no ConfigMap team"
        await hello(NEXT_RUN, "")
        assert await known() == ""


class TestRedisWithoutItsEpoch:
    async def test_nobody_is_refused_and_nothing_is_done(
        self, store: MailboxStore, redis_either: Redis
    ) -> None:
        await begin(store)
        await prompt(store)
        await turn(store)
        await redis_either.flushall()
        hello = await store.hello(BOX, run=RUN, pod_uid=POD, pod="pod")
        check = await store.check_run(BOX, run=RUN, pod_uid=POD, grace_seconds=60)
        grant = await turn(store)
        bye = await store.bye(BOX, run=RUN, pod_uid=POD)
        answers = {hello.answer, check.answer, grant.answer, bye}
        assert answers == {RunAnswer.LOST}
        result = await store.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert result is CommitAnswer.LOST
        assert await redis_either.keys("*") == []


class TestRebuild:
    async def test_an_emptied_redis(self, store: MailboxStore, redis_either: Redis) -> None:
        assert await store.rebuild(replace(KNOWN, lost_message="m9"))
        state = await store.state(BOX)
        assert (state.session_uid, state.user, state.agent_session_id) == (
            UID, "42", "conversation-1",
        )  # fmt: skip
        assert state.last_activity == 1_000.0
        assert state.rebuilt_at == pytest.approx(state.now, abs=5)
        assert state.usage == KNOWN.usage
        assert state.run is not None
        assert (state.run.run, state.run.pod_uid, state.run.hello_at, state.run.launch) == (
            NEXT_RUN, POD, None, "resume",
        )  # fmt: skip
        assert state.lost_message == "m9"
        await store.forget_lost(BOX, message="m8")
        await store.forget_lost(BOX, message="m9")
        assert (await store.state(BOX)).lost_message is None
        # The runner has said hello before and only takes turns now.
        assert (await turn(store, run=NEXT_RUN)).answer is RunAnswer.EMPTY
        state = await store.state(BOX)
        assert state.run is not None
        assert state.run.hello_at is not None
        assert (await hints(redis_either))[-2:] == ["rebuilt", "hello"]

    async def test_what_came_in_meanwhile_stays(self, store: MailboxStore) -> None:
        await chat(store, "m1")
        assert await store.rebuild(KNOWN)
        state = await store.state(BOX)
        assert state.waiting == 1
        assert state.last_activity == pytest.approx(state.now, abs=5)
        assert (await turn(store, run=NEXT_RUN)).answer is RunAnswer.TURN

    async def test_twice_is_once(self, store: MailboxStore) -> None:
        await store.rebuild(KNOWN)
        await store.end_run(BOX, run=NEXT_RUN, reason="x", message="", counted=False)
        await store.rebuild(KNOWN)
        state = await store.state(BOX)
        assert state.run is not None
        assert state.run.state is RunState.ENDED, "a run that is known is not begun again"

    async def test_another_sessions_mailbox_is_left_alone(self, store: MailboxStore) -> None:
        await begin(store)
        assert not await store.rebuild(replace(KNOWN, session_uid="uid-b"))
        assert (await store.state(BOX)).session_uid == UID

    async def test_an_older_file_answers_nothing_twice(
        self, store: MailboxStore, redis_either: Redis
    ) -> None:
        """m1 and m2 have their answers; Redis thinks that they wait and that m1 is in a turn."""
        await begin(store)
        await chat(store, "m1", where="7")
        await turn(store)
        await chat(store, "m2", where="8")
        handled = (await entries(redis_either, K.incoming))[-1][0]
        await chat(store, "m3", where="8")
        rebuild = replace(KNOWN, handled=handled, live=None)
        assert await store.rebuild(rebuild)
        state = await store.state(BOX)
        assert (state.waiting, state.turn, state.handled_entry) == (1, None, handled)
        late = await store.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert late is CommitAnswer.UNKNOWN_TURN
        grant = await turn(store, "t2")
        assert [message.id for message in grant.messages] == ["m3"]
        await store.commit_result(BOX, run=RUN, turn="t2", result=OK)
        state = await store.state(BOX)
        assert state.last is not None
        assert state.handled_entry == state.last.entry != handled

    async def test_a_turn_that_goes_beyond_is_kept(
        self, store: MailboxStore, redis_either: Redis
    ) -> None:
        await begin(store)
        await chat(store, "m1")
        handled = (await entries(redis_either, K.incoming))[-1][0]
        await chat(store, "m2")
        await turn(store)
        await store.rebuild(replace(KNOWN, handled=handled, live=None))
        grant = await turn(store, "t2")
        assert (grant.turn, [message.id for message in grant.messages]) == ("t1", ["m2"])


class TestThePromptIsNotRunAgain:
    async def admit(
        self, store: MailboxStore, text: str, generation: int, known: str, at: int
    ) -> str:
        answer = await store.ingest_prompt(
            BOX,
            uid=UID,
            generation=generation,
            sha256=text,
            text=text,
            known_sha256=known,
            known_generation=at,
        )
        return answer.value

    async def test_by_an_emptied_redis(self, store: MailboxStore) -> None:
        assert await self.admit(store, "A", 3, "A", 3) == "known"
        assert await self.admit(store, "B", 4, "A", 3) == "new"

    async def test_by_one_that_went_back(self, store: MailboxStore) -> None:
        await self.admit(store, "A", 1, "", 0)
        # Status knows B of generation 2, Redis only A of generation 1.
        assert await self.admit(store, "B", 2, "B", 2) == "known"
        assert await self.admit(store, "A", 3, "B", 2) == "new"

    async def test_a_b_a_within_a_moment_is_three(self, store: MailboxStore) -> None:
        """Status says A, of generation 1, when the third change comes."""
        assert await self.admit(store, "A", 1, "", 0) == "new"
        assert await self.admit(store, "B", 2, "A", 1) == "new"
        assert await self.admit(store, "A", 3, "A", 1) == "new"
