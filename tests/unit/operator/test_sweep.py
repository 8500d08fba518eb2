"""What watches and hints have missed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentsession_core.api import AgentSession
from agentsession_core.mailbox.life import EndAnswer, OutgoingAnswer
from agentsession_core.mailbox.model import MailboxState
from agentsession_operator.cache import Cache
from agentsession_operator.model import Key
from agentsession_operator.sweep import ORPHAN_SECONDS, Sweep
from agentsession_operator.workqueue import WorkQueue
from agentsession_testing.operator_worlds import EMPTY, make_session

ANNA = Key("agents", "anna")
NOW = 1000.0


class ListedStore:
    """Answers a few mailboxes and remembers what was ended."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.known: list[str] = []
        self.ended: list[tuple[str, str]] = []
        self.speaking: list[str] = []
        self.finished: list[str] = []

    async def backlog(self) -> list[str]:
        return self.waiting

    async def mailboxes(self) -> list[str]:
        return self.known

    async def state(self, mailbox: str) -> MailboxState:
        return replace(EMPTY, session_uid=f"uid-of-{mailbox}")

    async def end_mailbox(self, mailbox: str, *, session_uid: str, text: str) -> EndAnswer:
        assert text
        self.ended.append((mailbox, session_uid))
        return EndAnswer.ENDED

    async def undelivered(self) -> list[str]:
        return self.speaking

    async def finish_outgoing(self, mailbox: str, *, keep_seconds: float) -> OutgoingAnswer:
        self.finished.append(mailbox)
        return OutgoingAnswer.WAITS


class RecordingQueue(WorkQueue):
    """Has no workers; remembers what was added."""

    def __init__(self) -> None:
        self.looked: list[Key] = []

    def add(self, key: Key) -> None:
        self.looked.append(key)


class FoundByComparison:
    """Finds what the test has put into the cluster."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self.finds: dict[Key, AgentSession] = {}

    async def run(self) -> None:
        for key, session in self.finds.items():
            self._cache.put_session(key, session)


class Stage:
    def __init__(self) -> None:
        self.now = NOW
        self.cache, self.store = Cache(), ListedStore()
        self.queue = RecordingQueue()
        self.looked = self.queue.looked
        self.comparison = FoundByComparison(self.cache)
        self.sweep = Sweep(
            self.cache,
            self.store,  # type: ignore[arg-type]
            self.queue,
            self.comparison,  # type: ignore[arg-type]
            lambda: self.now,
        )


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_waiting_messages_bring_their_session_back(stage: Stage) -> None:
    stage.cache.put_session(ANNA, make_session())
    stage.store.waiting = ["42", "unknown"]
    await stage.sweep.backlog()
    assert stage.looked == [ANNA]


async def test_a_mailbox_without_a_session_goes_after_a_minute(stage: Stage) -> None:
    stage.store.known = ["42"]
    await stage.sweep.backlog()
    stage.now += ORPHAN_SECONDS - 1
    await stage.sweep.backlog()
    assert stage.store.ended == []
    stage.now += 1
    await stage.sweep.backlog()
    assert stage.store.ended == [("42", "uid-of-42")]


async def test_a_session_that_only_the_watch_has_missed_keeps_its_mailbox(stage: Stage) -> None:
    stage.store.known = ["42"]
    await stage.sweep.backlog()
    stage.now += ORPHAN_SECONDS
    stage.comparison.finds = {ANNA: make_session()}
    await stage.sweep.backlog()
    assert stage.store.ended == []


async def test_what_deleted_sessions_still_have_to_say_is_looked_at(stage: Stage) -> None:
    stage.store.speaking = ["42"]
    await stage.sweep.backlog()
    assert stage.store.finished == ["42"]


async def test_a_session_that_comes_back_in_time_keeps_its_mailbox(stage: Stage) -> None:
    stage.store.known = ["42"]
    await stage.sweep.backlog()
    stage.cache.put_session(ANNA, make_session())
    stage.now += ORPHAN_SECONDS
    await stage.sweep.backlog()
    stage.cache.drop_session(ANNA)
    await stage.sweep.backlog()
    assert stage.store.ended == [], "the minute begins anew"
