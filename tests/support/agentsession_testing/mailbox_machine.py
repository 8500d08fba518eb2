"""Random schedules of the mailbox scripts on a real Valkey, and what must hold after every step.

Clients are crashed by not calling any more and repeat calls whose answer they have lost: both are
schedules in which any call may come at any time, twice as well.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from redis.asyncio import Redis

from agentsession_core.api import LaunchType, TurnOutcome
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.answers import CommitAnswer, RunAnswer
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.letters import GivenUp
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.parse import read_text
from agentsession_core.mailbox.store import MailboxStore

BOX = "m"
KEYS = MailboxKeys(BOX)
T = TypeVar("T")
Fields = dict[str, str]
SESSIONS = ("uid-a", "uid-b")
ANY = st.integers(0, 50)


@dataclass
class Seen:
    """What the clients know and the checks remember."""

    accepted: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    outgoing: set[str] = field(default_factory=set)
    runs: list[str] = field(default_factory=list)
    pods: dict[str, str] = field(default_factory=dict)
    turns: list[tuple[str, str]] = field(default_factory=list)
    committed: set[str] = field(default_factory=set)
    ingested: list[NewMessage] = field(default_factory=list)


@dataclass
class Box:
    """The mailbox as Redis has it between two calls."""

    incoming: list[tuple[str, Fields]] = field(default_factory=list)
    outgoing: list[tuple[str, Fields]] = field(default_factory=list)
    state: Fields = field(default_factory=dict)
    run: Fields = field(default_factory=dict)
    turn: Fields = field(default_factory=dict)
    backlog: set[str] = field(default_factory=set)
    ended: str = ""

    @property
    def waiting(self) -> list[str]:
        """Ids of the messages that wait or are in the turn."""
        return [entry["id"] for _, entry in self.incoming]


async def read_box(redis: Redis) -> Box:
    """All of it in one step."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.xrange(KEYS.incoming)
        pipe.xrange(KEYS.outgoing)
        for key in (KEYS.state, KEYS.run, KEYS.turn):
            pipe.hgetall(key)
        pipe.smembers(keys.SESSIONS_BACKLOG)
        pipe.get(KEYS.ended)
        incoming, outgoing, state, run, turn, backlog, ended = await pipe.execute()
    return Box(
        [(read_text(i), _fields(entry)) for i, entry in incoming],
        [(read_text(i), _fields(entry)) for i, entry in outgoing],
        _fields(state),
        _fields(run),
        _fields(turn),
        {read_text(mailbox) for mailbox in backlog},
        read_text(ended or ""),
    )


def _fields(found: Any) -> Fields:
    return {read_text(name): read_text(value) for name, value in found.items()}


async def _await(call: Awaitable[T]) -> T:
    return await call


class MailboxMachine(RuleBasedStateMachine):
    """Any client's any call in any order; `redis` and `loop` are set by the test.

    `played`: how many schedules were begun.
    """

    redis: ClassVar[Redis]
    loop: ClassVar[asyncio.AbstractEventLoop]
    played: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        MailboxMachine.played += 1
        self.store = MailboxStore(self.redis)
        self.seen = Seen()
        self.box = Box()
        self.number = 0
        self.wait(self.redis.flushdb())

    def wait(self, call: Awaitable[T]) -> T:
        """The call's answer."""
        return self.loop.run_until_complete(_await(call))

    def new(self, what: str) -> str:
        self.number += 1
        return f"{what}-{self.number}"

    # Whoever brings messages.

    @rule(text=st.sampled_from(["", "hello", "é" * 20]), chat=st.sampled_from(["1", "1", "2"]))
    def ingest(self, text: str, chat: str) -> None:
        self._ingest(NewMessage(source=Source.TELEGRAM, id=self.new("m"), chat=chat, text=text))

    @precondition(lambda self: self.seen.ingested)
    @rule(which=ANY)
    def ingest_again(self, which: int) -> None:
        self._ingest(self.seen.ingested[which % len(self.seen.ingested)])

    @rule()
    def begin_conversation(self) -> None:
        new = NewMessage(source=Source.TELEGRAM, id=self.new("m"), text="/new and a word")
        self._ingest(new, new_conversation=True)

    def _ingest(self, message: NewMessage, *, new_conversation: bool = False) -> None:
        known = message.id in {earlier.id for earlier in self.seen.ingested}
        answer = self.wait(self.store.ingest(BOX, message, new_conversation=new_conversation))
        assert (answer.admission == "known") == known, answer
        if not known:
            self.seen.ingested.append(message)
            self.seen.accepted.append(message.id)

    # The operator, or two of them.

    @rule(session=st.sampled_from(SESSIONS), stale=st.booleans())
    def begin_run(self, session: str, stale: bool) -> None:
        current = self.box.run.get("run", "")
        expected = "" if stale else current
        run = f"{session}/{len(self.seen.runs) + 1}"
        begun = self.wait(
            self.store.begin_run(
                BOX, run=run, expected=expected, session_uid=session, launch=LaunchType.COLD
            )
        )
        assert begun == (expected == current and session != self.box.ended)
        if begun:
            self.seen.runs.append(run)

    @precondition(lambda self: self.seen.runs)
    @rule(which=ANY)
    def begin_run_again(self, which: int) -> None:
        """The answer of an earlier call was lost, or another operator is late."""
        run = self._run(which)
        session = run.partition("/")[0]
        begun = self.wait(
            self.store.begin_run(
                BOX, run=run, expected="none", session_uid=session, launch=LaunchType.COLD
            )
        )
        assert begun == (self.box.run.get("run") == run and session != self.box.ended)

    @precondition(lambda self: self.seen.runs)
    @rule(which=ANY, by_hand=st.booleans())
    def drain(self, which: int, by_hand: bool) -> None:
        run, before = self._run(which), self.box
        answer = self.wait(self.store.drain(BOX, run=run, by_hand=by_hand, why="Idle"))
        if answer is RunAnswer.DRAINED and before.run.get("state") == "open":
            assert not before.turn, "drained in a turn"
            assert by_hand or not before.waiting, "drained with a backlog"

    @precondition(lambda self: self.seen.runs)
    @rule(which=ANY)
    def keep_run(self, which: int) -> None:
        self.wait(self.store.keep_run(BOX, run=self._run(which)))

    @precondition(lambda self: self.seen.runs)
    @rule(which=ANY, counted=st.booleans())
    def end_run(self, which: int, counted: bool) -> None:
        self.wait(
            self.store.end_run(
                BOX, run=self._run(which), reason="RunFailed", message="", counted=counted
            )
        )

    @precondition(lambda self: self.seen.runs)
    @rule(which=ANY)
    def run_failed(self, which: int) -> None:
        run = self._run(which)
        self.wait(self.store.run_failed(BOX, run=run, reason="RunFailed", message=""))

    @rule(session=st.sampled_from(SESSIONS))
    def close(self, session: str) -> None:
        before = self.box
        closed = self.wait(self.store.close(BOX, session_uid=session))
        if closed and before.state.get("session") in (None, session):
            assert not before.turn, "closed in a turn"
            assert not before.waiting, "closed with messages"

    @rule(session=st.sampled_from(SESSIONS))
    def reopen(self, session: str) -> None:
        self.wait(self.store.reopen(BOX, session_uid=session))

    @rule(session=st.sampled_from(SESSIONS))
    def end_mailbox(self, session: str) -> None:
        """The session is gone, or its end is told once more: its answer was lost, or two told it."""
        before = self.box
        self.wait(self.store.end_mailbox(BOX, session_uid=session, text="deleted"))
        after = self.wait(read_box(self.redis))
        if before.state.get("session") != session or "reopened" in before.state:
            assert after.waiting == before.waiting, "another session's messages were ended"

    @rule()
    def finish_outgoing(self) -> None:
        self.wait(self.store.finish_outgoing(BOX, keep_seconds=3600))

    @precondition(lambda self: self.box.turn)
    @rule(own=st.booleans())
    def cut_off(self, own: bool) -> None:
        self.wait(self.store.cut_off(BOX, run=self.box.turn["run"], own=own))

    @rule(of_turn=st.booleans(), stale=st.booleans())
    def give_up(self, of_turn: bool, stale: bool) -> None:
        run = self.box.run.get("run", "")
        letters = GivenUp(
            run="stale" if stale else run,
            reason="DeadLettered",
            message="m",
            text="t",
            turn=self.box.turn.get("turn") if of_turn else None,
            max_deaths=2,
            max_evictions=3,
            before=1e12,
            greeted="hello_at" in self.box.run,
        )
        self.wait(self.store.give_up(BOX, letters))

    @rule(with_turn=st.booleans())
    def tell_held(self, with_turn: bool) -> None:
        """It answers nothing: what is held waits on."""
        before = self.box
        self.wait(self.store.tell_held(BOX, text="held", with_turn=with_turn))
        assert self.wait(read_box(self.redis)).waiting == before.waiting

    # The bridge.

    @rule()
    def deliver(self) -> None:
        for entry_id, _ in self.box.outgoing:
            self.wait(self.redis.xdel(KEYS.outgoing, entry_id))

    # Runners, their gateway, and a person who stops a turn.

    @precondition(lambda self: self.seen.runs)
    @rule(which=ANY, pod=st.sampled_from(["pod-1", "pod-2"]))
    def hello(self, which: int, pod: str) -> None:
        run = self._run(which)
        answer = self.wait(self.store.hello(BOX, run=run, pod_uid=pod, pod=pod)).answer
        if answer is RunAnswer.OK:
            assert self.seen.pods.setdefault(run, pod) == pod, "two pods for one run"

    @precondition(lambda self: self.seen.pods)
    @rule(which=ANY, stranger=st.integers(0, 9))
    def begin_turn(self, which: int, stranger: int) -> None:
        run = list(self.seen.pods)[which % len(self.seen.pods)]
        pod = self.seen.pods[run] if stranger else "stranger"
        before = self.box
        grant = self.wait(
            self.store.begin_turn(BOX, run=run, pod_uid=pod, turn=self.new("t"), timeout_seconds=60)
        )
        if grant.answer is not RunAnswer.TURN:
            return
        assert stranger, "a turn for another pod"
        assert before.run["run"] == run, "a turn for a run of the past"
        assert before.run["state"] != "ended"
        assert before.turn or before.run["state"] == "open", "a new turn for a drained run"
        assert before.turn.get("turn", grant.turn) == grant.turn, "two turns at once"
        assert grant.messages, "a turn without messages"
        assert grant.turn not in self.seen.committed
        self.seen.turns.append((run, grant.turn))

    @precondition(lambda self: self.seen.turns)
    @rule(which=ANY, outcome=st.sampled_from(["Succeeded", "Failed", "Cancelled"]))
    def commit(self, which: int, outcome: str) -> None:
        run, turn = self.seen.turns[-1 - which % len(self.seen.turns)]
        holds = (self.box.turn.get("turn"), self.box.turn.get("run")) == (turn, run)
        result = ResultRecord(TurnOutcome(outcome), f"answer of {turn}")
        answer = self.wait(self.store.commit_result(BOX, run=run, turn=turn, result=result))
        assert (answer is CommitAnswer.COMMITTED) == holds, answer
        if holds:
            assert turn not in self.seen.committed, "one turn, two answers"
            self.seen.committed.add(turn)

    @precondition(lambda self: self.seen.pods)
    @rule(which=ANY)
    def bye(self, which: int) -> None:
        run = list(self.seen.pods)[which % len(self.seen.pods)]
        before = self.box
        answer = self.wait(self.store.bye(BOX, run=run, pod_uid=self.seen.pods[run]))
        if answer is RunAnswer.BYE:
            assert not before.turn, "bye in a turn"
            assert before.run.get("held") == "1" or not before.waiting, "bye with a backlog"

    @rule(which=ANY, any_turn=st.booleans())
    def cancel(self, which: int, any_turn: bool) -> None:
        named = self.seen.turns[which % len(self.seen.turns)][1] if self.seen.turns else "none"
        self.wait(self.store.request_cancel(BOX, turn=None if any_turn else named))

    def _run(self, which: int) -> str:
        """Mostly the newest, any other too."""
        return self.seen.runs[-1 - which % len(self.seen.runs)]

    # What must hold.

    @invariant()
    def everything_agrees(self) -> None:
        self.box = box = self.wait(read_box(self.redis))
        self._check_messages(box)
        assert not box.incoming or box.backlog == {BOX}, "messages wait and no sweep would see them"
        real = sum(len((entry["text"] + entry["files"]).encode()) for _, entry in box.incoming)
        counted = int(box.state.get("incoming_bytes", "0"))
        assert counted == real, f"{counted} bytes counted, {real} wait"
        if box.turn:
            ids = set(json.loads(box.turn["ids"]))
            assert ids <= {entry_id for entry_id, _ in box.incoming}, "a turn of lost messages"

    def _check_messages(self, box: Box) -> None:
        seen, waiting = self.seen, box.waiting
        for entry_id, entry in box.outgoing:
            if entry_id not in seen.outgoing:
                seen.outgoing.add(entry_id)
                seen.answered += json.loads(entry["reply_to"])
        assert len(seen.answered) == len(set(seen.answered)), f"answered twice: {seen.answered}"
        assert not set(waiting) & set(seen.answered), "answered and still waiting"
        lost = [m for m in seen.accepted if m not in seen.answered and m not in waiting]
        assert not lost, f"lost: {lost}"
        assert waiting == [m for m in seen.accepted if m in waiting], "waiting out of order"
        for chat in ("", "1", "2"):
            sent = [m.id for m in seen.ingested if m.chat == chat and m.id in seen.answered]
            assert sent == [m for m in seen.answered if m in sent], "answered out of order"
