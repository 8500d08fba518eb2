"""Messages that are given up or held, and every race about them, against a real Valkey."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from agentsession_core.api import TurnOutcome
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.answers import CommitAnswer, RunAnswer
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.letters import GivenUp
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.mailboxes import BOX, NEXT_RUN, OK, POD, RUN, UID, begin, prompt, turn
from agentsession_testing.valkey import entries

K = MailboxKeys(BOX)
TURN = GivenUp(
    run=RUN,
    turn="t1",
    max_deaths=1,
    max_evictions=2,
    reason="RunOutOfMemory",
    message="for those who look after it",
    text="for who wrote it",
)


async def say(
    store: MailboxStore, name: str, source: Source = Source.TELEGRAM, chat: str = "7"
) -> None:
    assert source is not Source.PROMPT
    await store.ingest(BOX, NewMessage(source=source, id=name, chat=chat, text=f"text of {name}"))


async def out(redis: Redis) -> list[tuple[str, str, list[str]]]:
    """(kind, outcome, reply_to) of everything that went out."""
    return [
        (entry["kind"], entry["outcome"], json.loads(entry["reply_to"]))
        for _, entry in await entries(redis, K.outgoing)
    ]


@pytest.fixture
async def cut(store_either: MailboxStore) -> MailboxStore:
    """A mailbox whose first run died in the turn of m1 and m2; m3 of another chat waits behind it."""
    await begin(store_either)
    await say(store_either, "m1")
    await say(store_either, "m2")
    await say(store_either, "m3", chat="8")
    await turn(store_either)
    await store_either.cut_off(BOX, run=RUN, own=True)
    return store_either


class TestCutOff:
    async def test_is_counted_once_for_each_run_and_by_kind(
        self, store_either: MailboxStore
    ) -> None:
        await begin(store_either)
        await say(store_either, "m1")
        await turn(store_either)
        for _ in range(2):
            await store_either.cut_off(BOX, run=RUN, own=True)
        await begin(store_either, NEXT_RUN, RUN, "pod-uid-2")
        # A run that has not been given the turn has not been cut off in it.
        await store_either.cut_off(BOX, run=NEXT_RUN, own=True)
        await turn(store_either, "t2", NEXT_RUN, "pod-uid-2")
        await store_either.cut_off(BOX, run=RUN, own=True)
        await store_either.cut_off(BOX, run=NEXT_RUN, own=False)
        record = (await store_either.state(BOX)).turn
        assert record is not None
        assert (record.deaths, record.evictions, record.cut_run) == (1, 1, NEXT_RUN)
        assert record.attempt == 2


class TestATurnThatIsGivenUp:
    async def test_is_dead_and_its_sender_is_told_and_the_next_has_its_way(
        self, cut: MailboxStore, redis_either: Redis
    ) -> None:
        assert await cut.give_up(BOX, TURN) == 2
        state = await cut.state(BOX)
        assert (state.waiting, state.turn) == (1, None)
        assert state.last is not None
        assert (state.last.turn, state.last.outcome) == ("t1", TurnOutcome.DEAD_LETTERED)
        assert (state.last.message_id, state.last.run) == ("m2", RUN)
        assert (state.last.error_code, state.last.error_message) == (TURN.reason, TURN.message)
        dead = [entry for _, entry in await entries(redis_either, K.dead)]
        assert [(d["id"], d["text"], d["attempts"], d["reason"]) for d in dead] == [
            (name, f"text of {name}", "1", "RunOutOfMemory") for name in ("m1", "m2")
        ]
        [(_, notice)] = await entries(redis_either, K.outgoing)
        assert (notice["kind"], notice["outcome"], notice["chat"]) == (
            "notice",
            "DeadLettered",
            "7",
        )
        assert (json.loads(notice["reply_to"]), notice["text"]) == (["m1", "m2"], TURN.text)
        assert await redis_either.xlen(keys.OUTGOING_READY) == 1
        assert await cut.backlog() == [BOX]
        await begin(cut, NEXT_RUN, RUN, "pod-uid-2")
        grant = await turn(cut, "t2", NEXT_RUN, "pod-uid-2")
        assert ([m.id for m in grant.messages], grant.attempt) == (["m3"], 1)
        await cut.commit_result(BOX, run=NEXT_RUN, turn="t2", result=OK)
        assert await cut.backlog() == []
        assert await redis_either.hget(K.state, "incoming_bytes") == b"0"

    @pytest.mark.parametrize(
        "letters",
        [
            replace(TURN, turn="another"),
            replace(TURN, run=NEXT_RUN),
            replace(TURN, max_deaths=2),
        ],
        ids=["another turn", "another run", "too few deaths"],
    )
    async def test_is_refused_unless_it_is_still_so(
        self, cut: MailboxStore, redis_either: Redis, letters: GivenUp
    ) -> None:
        assert await cut.give_up(BOX, letters) is None
        assert (await cut.state(BOX)).waiting == 3
        assert await redis_either.exists(K.dead, K.outgoing) == 0

    async def test_is_refused_once_another_run_has_the_turn(self, cut: MailboxStore) -> None:
        await begin(cut, NEXT_RUN, RUN, "pod-uid-2")
        await turn(cut, "t2", NEXT_RUN, "pod-uid-2")
        assert await cut.give_up(BOX, TURN) is None
        assert await cut.give_up(BOX, replace(TURN, run=NEXT_RUN)) is None
        committed = await cut.commit_result(BOX, run=NEXT_RUN, turn="t1", result=OK)
        assert committed is CommitAnswer.COMMITTED

    async def test_evictions_count_apart(self, store_either: MailboxStore) -> None:
        await begin(store_either)
        await say(store_either, "m1")
        await turn(store_either)
        await store_either.cut_off(BOX, run=RUN, own=False)
        assert await store_either.give_up(BOX, TURN) is None
        await begin(store_either, NEXT_RUN, RUN, "pod-uid-2")
        await turn(store_either, "t2", NEXT_RUN, "pod-uid-2")
        await store_either.cut_off(BOX, run=NEXT_RUN, own=False)
        assert await store_either.give_up(BOX, replace(TURN, run=NEXT_RUN)) == 1

    async def test_of_a_prompt_is_told_by_status_alone(
        self, store_either: MailboxStore, redis_either: Redis
    ) -> None:
        await begin(store_either)
        await prompt(store_either)
        await turn(store_either)
        await store_either.cut_off(BOX, run=RUN, own=True)
        assert await store_either.give_up(BOX, TURN) == 1
        assert await redis_either.exists(K.outgoing) == 0
        last = (await store_either.state(BOX)).last
        assert last is not None
        assert (last.source, last.message_id) == ("prompt", "uid-a.1")

    async def test_of_a_terminal_is_an_end_of_its_turn(
        self, store_either: MailboxStore, redis_either: Redis
    ) -> None:
        await begin(store_either)
        await say(store_either, "m1", Source.TERMINAL)
        await turn(store_either)
        await store_either.cut_off(BOX, run=RUN, own=True)
        await store_either.give_up(BOX, TURN)
        [*_, (_, event)] = await entries(redis_either, K.events)
        data = json.loads(event["data"])
        assert (event["kind"], event["turn"], data["phase"]) == ("turn", "t1", "ended")
        assert (data["outcome"], data["messages"]) == ("DeadLettered", ["m1"])
        assert data["text"] == TURN.text
        assert await redis_either.exists(K.outgoing) == 0


class TestRaces:
    """Whatever comes first, each message has exactly one end."""

    async def test_two_results(self, store_either: MailboxStore, redis_either: Redis) -> None:
        await begin(store_either)
        await say(store_either, "m1")
        await turn(store_either)
        answers = await asyncio.gather(
            *(store_either.commit_result(BOX, run=RUN, turn="t1", result=OK) for _ in range(4))
        )
        assert sorted(answers) == ["already", "already", "already", "committed"]
        assert await out(redis_either) == [("answer", "Succeeded", ["m1"])]

    async def test_results_of_two_runs(
        self, store_either: MailboxStore, redis_either: Redis
    ) -> None:
        await begin(store_either)
        await say(store_either, "m1")
        await turn(store_either)
        await begin(store_either, NEXT_RUN, RUN, "pod-uid-2")
        await turn(store_either, "t2", NEXT_RUN, "pod-uid-2")
        answers = await asyncio.gather(
            *(
                store_either.commit_result(BOX, run=run, turn="t1", result=OK)
                for run in (RUN, NEXT_RUN, RUN)
            )
        )
        assert answers.count(CommitAnswer.COMMITTED) == 1
        assert await out(redis_either) == [("answer", "Succeeded", ["m1"])]

    @pytest.mark.parametrize("first", ["result", "dead letter", "both at once"])
    async def test_a_late_result_and_a_dead_letter(
        self, cut: MailboxStore, redis_either: Redis, first: str
    ) -> None:
        async def result() -> CommitAnswer:
            return await cut.commit_result(BOX, run=RUN, turn="t1", result=OK)

        async def dead() -> int | None:
            return await cut.give_up(BOX, TURN)

        if first == "result":
            committed, given_up = await result(), await dead()
            assert (committed, given_up) == (CommitAnswer.COMMITTED, None)
        elif first == "dead letter":
            given_up, committed = await dead(), await result()
            assert (committed, given_up) == (CommitAnswer.ALREADY, 2)
        else:
            committed, given_up = await asyncio.gather(result(), dead())
            assert (committed is CommitAnswer.COMMITTED) is (given_up is None)
        kind = "answer" if committed is CommitAnswer.COMMITTED else "notice"
        [(was, _, reply_to)] = await out(redis_either)
        assert (was, reply_to) == (kind, ["m1", "m2"])
        assert await redis_either.xlen(K.dead) == (0 if kind == "answer" else 2)
        assert (await cut.state(BOX)).waiting == 1

    async def test_a_dead_letter_twice(self, cut: MailboxStore, redis_either: Redis) -> None:
        answers = await asyncio.gather(*(cut.give_up(BOX, TURN) for _ in range(3)))
        assert sorted(answers, key=str) == [2, None, None]
        assert len(await out(redis_either)) == 1

    async def test_a_dead_letter_and_a_cancel(self, cut: MailboxStore, redis_either: Redis) -> None:
        await asyncio.gather(cut.give_up(BOX, TURN), cut.request_cancel(BOX, turn="t1"))
        assert await out(redis_either) == [("notice", "DeadLettered", ["m1", "m2"])]
        assert (await cut.state(BOX)).turn is None


class TestWhatHasWaitedTooLong:
    async def old(self, store: MailboxStore, *, after: str) -> GivenUp:
        """Everything up to that message has waited too long."""
        found = await entries(store._redis, K.incoming)
        newest = next(entry for entry, fields in found if fields["id"] == after)
        return GivenUp(
            run="",
            reason="ImagePullFailed",
            message="no image",
            text="it could not start",
            before=(int(newest.partition("-")[0]) + 1) / 1000,
        )

    async def test_is_dead_and_each_chat_is_told(
        self, store_either: MailboxStore, redis_either: Redis
    ) -> None:
        await say(store_either, "m1")
        await say(store_either, "m2")
        await say(store_either, "m3", chat="8")
        letters = await self.old(store_either, after="m3")
        before = (await store_either.state(BOX)).last_activity
        assert await store_either.give_up(BOX, letters) == 3
        assert await out(redis_either) == [
            ("notice", "DeadLettered", ["m1", "m2"]),
            ("notice", "DeadLettered", ["m3"]),
        ]
        state = await store_either.state(BOX)
        assert (state.waiting, state.last_activity) == (0, before), "it is no activity"
        assert state.last is not None
        assert (state.last.outcome, state.last.message_id) == (TurnOutcome.DEAD_LETTERED, "m3")
        assert await store_either.backlog() == []
        assert await store_either.close(BOX, session_uid=UID), "the session can expire"

    async def test_and_what_came_later_waits_on(self, store_either: MailboxStore) -> None:
        await say(store_either, "m1")
        letters = await self.old(store_either, after="m1")
        await asyncio.sleep(0.003)  # the next entry's id is of a later millisecond
        await say(store_either, "m2")
        assert await store_either.give_up(BOX, letters) == 1
        assert (await store_either.state(BOX)).waiting == 1
        assert await store_either.backlog() == [BOX]

    async def test_with_the_turn_that_a_dead_run_left(
        self, cut: MailboxStore, redis_either: Redis
    ) -> None:
        """As a whole, although only its first message is too old."""
        letters = replace(await self.old(cut, after="m1"), run=RUN, greeted=True)
        count = await cut.give_up(BOX, letters)
        assert count is not None
        assert count >= 2
        state = await cut.state(BOX)
        assert (state.turn, state.waiting) == (None, 3 - count)
        late = await cut.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert late is not CommitAnswer.COMMITTED
        replies = [reply for _, _, reply in await out(redis_either)]
        assert replies[0] == ["m1", "m2"]

    async def test_is_refused_when_a_run_has_come(self, store_either: MailboxStore) -> None:
        await say(store_either, "m1")
        letters = await self.old(store_either, after="m1")
        await begin(store_either)
        assert await store_either.give_up(BOX, letters) is None
        # It is there, and now it has said hello.
        assert await store_either.give_up(BOX, replace(letters, run=RUN)) is None
        assert (await turn(store_either)).answer is RunAnswer.TURN

    async def test_the_newest_hundred_are_kept(
        self, store_either: MailboxStore, redis_either: Redis
    ) -> None:
        for number in range(130):
            await redis_either.xadd(K.incoming, {"text": str(number)})
        [*_, (newest, _)] = await entries(redis_either, K.incoming)
        letters = GivenUp(
            run="", reason="r", message="m", text="t", before=int(newest.partition("-")[0]) + 1
        )
        assert await store_either.give_up(BOX, letters) == 130
        dead = await entries(redis_either, K.dead)
        assert [entry["text"] for _, entry in dead] == [str(n) for n in range(30, 130)]
        [(_, _, reply_to)] = await out(redis_either)
        assert len(reply_to) == 130


class TestHeld:
    async def test_each_chat_is_told_once_until_a_run_begins(
        self, store_either: MailboxStore, redis_either: Redis
    ) -> None:
        await say(store_either, "m1")
        await say(store_either, "m2")
        await say(store_either, "m3", chat="8")
        await prompt(store_either)
        for expected in (True, False):
            told = await store_either.tell_held(BOX, text="asleep", with_turn=True)
            assert told is expected
        found = [entry for _, entry in await entries(redis_either, K.outgoing)]
        assert [(e["kind"], e["chat"], e["reply_to"], e["text"]) for e in found] == [
            ("notice", "7", "[]", "asleep"),
            ("notice", "8", "[]", "asleep"),
        ]
        state = await store_either.state(BOX)
        assert (state.waiting, state.held_told) == (4, True)
        await begin(store_either)
        assert not (await store_either.state(BOX)).held_told
        assert [m.id for m in (await turn(store_either)).messages] == ["m1", "m2"]

    async def test_the_running_turns_sender_is_not_told(
        self, store_either: MailboxStore, redis_either: Redis
    ) -> None:
        await begin(store_either)
        await say(store_either, "m1")
        await turn(store_either)
        assert not await store_either.tell_held(BOX, text="asleep", with_turn=False)
        assert await redis_either.exists(K.outgoing) == 0
        await say(store_either, "m2", chat="8")
        await store_either.drain(BOX, run=RUN, by_hand=True, why="SuspendedByUser")
        assert await store_either.tell_held(BOX, text="asleep", with_turn=False)
        [(_, notice)] = await entries(redis_either, K.outgoing)
        assert notice["chat"] == "8"
        # Whoever wakes it up before the turn's end may put it to sleep again, and that is told again.
        await store_either.keep_run(BOX, run=RUN)
        assert not (await store_either.state(BOX)).held_told
        assert await store_either.bye(BOX, run=RUN, pod_uid=POD) is RunAnswer.REOPENED
