"""What watches and hints have missed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentsession_core.mailbox.model import MailboxState
from agentsession_operator.cache import Cache
from agentsession_operator.comparison import Comparison
from agentsession_operator.handlers import Handlers
from agentsession_operator.model import Key
from agentsession_operator.sweep import ORPHAN_SECONDS, Sweep
from agentsession_operator.workqueue import WorkQueue
from agentsession_testing.operator_worlds import EMPTY, make_session

ANNA = Key("agents", "anna")
NOW = 1000.0


class ListedStore:
    """Answers a few mailboxes and remembers what was purged."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.known: list[str] = []
        self.purged: list[tuple[str, str]] = []

    async def backlog(self) -> list[str]:
        return self.waiting

    async def mailboxes(self) -> list[str]:
        return self.known

    async def state(self, mailbox: str) -> MailboxState:
        return replace(EMPTY, session_uid=f"uid-of-{mailbox}")

    async def purge(self, mailbox: str, *, session_uid: str) -> bool:
        self.purged.append((mailbox, session_uid))
        return True


class RecordingQueue(WorkQueue):
    """Has no workers; remembers what was added."""

    def __init__(self) -> None:
        self.looked: list[Key] = []

    def add(self, key: Key) -> None:
        self.looked.append(key)


class Stage:
    def __init__(self) -> None:
        self.now = NOW
        self.cache, self.store = Cache(), ListedStore()
        self.queue = RecordingQueue()
        self.looked = self.queue.looked
        handlers = Handlers(self.cache, self.queue)
        # No cluster: what is compared with it has its own tests.
        comparison = Comparison(self.cache, None, self.queue, handlers, ())  # type: ignore[arg-type]
        self.sweep = Sweep(
            self.cache,
            self.store,  # type: ignore[arg-type]
            self.queue,
            comparison,
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
    assert stage.store.purged == []
    stage.now += 1
    await stage.sweep.backlog()
    assert stage.store.purged == [("42", "uid-of-42")]


async def test_a_session_that_comes_back_in_time_keeps_its_mailbox(stage: Stage) -> None:
    stage.store.known = ["42"]
    await stage.sweep.backlog()
    stage.cache.put_session(ANNA, make_session())
    stage.now += ORPHAN_SECONDS
    await stage.sweep.backlog()
    stage.cache.drop_session(ANNA)
    await stage.sweep.backlog()
    assert stage.store.purged == [], "the minute begins anew"
