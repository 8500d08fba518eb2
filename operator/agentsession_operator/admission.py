"""The queue for runs as it is kept: who waits and who has a place, decided by `fair_queue`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, Protocol

from agentsession_operator.fair_queue import Decision, Holding, Room, Share, Waiting, decide
from agentsession_operator.model import Key
from agentsession_operator.world import Place, Standing

FREE: Final = Place()


class PlaceGiven(Protocol):
    """Is told that a session has a place, after so many seconds in the queue."""

    def __call__(self, *, task: bool, seconds: float) -> None: ...


def _nobody(*, task: bool, seconds: float) -> None:
    pass


# After a start the queue is in order once all who waited before have been looked at again.
OPENING_SECONDS: Final = 30.0
# A session that was given a place and makes nothing of it loses it.
GRANT_SECONDS: Final = 60.0


class Admission:
    """Gives places to sessions. `clock` in seconds since the epoch.

    All state follows from the cluster and Redis: after a restart the same sessions have places and
    the same wait, in the same order. `wake` is called with sessions whose turn it is.

    Nothing here looks at all sessions. Without a queue a place is given in the look that asks for it;
    with one the decision is made for all who wait at once, `pause` seconds after the last at the
    earliest, so that many changes are one decision. `moved` is set when positions have changed, and
    once when they are first known.
    """

    def __init__(self, share: Share, clock: Callable[[], float]) -> None:
        self._share = share
        self._clock = clock
        self._waiting: dict[Key, Waiting] = {}
        self._asked_at: dict[Key, float] = {}
        self._holding: dict[Key, Holding] = {}
        self._room = Room(share)
        self._queued = {False: 0, True: 0}
        self._granted: dict[Key, float] = {}
        self._yielding: set[Key] = set()
        self._making_room: set[Key] = set()
        self._cramped: dict[Key, str] = {}
        self._helped: dict[Key, str] = {}
        self._started = {False: 0, True: 0}
        self._last_start: dict[tuple[str, bool], float] = {}
        self._expected: dict[Key, bool] = {}
        self._missing = {False: 0, True: 0}
        self._opened_at = 0.0
        self._changed = asyncio.Event()
        self._numbered = False
        self.positions: Mapping[Key, int] = {}
        self.moved = asyncio.Event()
        self.wake: Callable[[Key], None] = lambda _: None
        self.on_place: PlaceGiven = _nobody

    def begin(self, holding: Iterable[Holding], expected: Mapping[Key, bool]) -> None:
        """What is known at the start: who has a place, and who waited (key → whether it is a task).

        As long as one of the latter has not been looked at, nobody takes the place it may want.
        """
        for item in holding:
            self._hold(item)
        for key, is_task in expected.items():
            task = is_task and self._share.for_tasks > 0
            self._expected[key] = task
            self._missing[task] += 1
        self._opened_at = self._clock()
        self._changed.set()

    def place(self, key: Key, standing: Standing) -> Place:
        """Takes down where the session stands; answers what it may do.

        A place that is given by this is the session's until `settle` or a later look says otherwise.
        """
        self._no_longer_expected(key)
        self._note_cramped(key, standing.cramped)
        self._note_start(standing.user, standing.task, standing.began_at)
        if standing.waits_since is not None:
            return self._ask(Waiting(key, standing.user, standing.task, standing.waits_since))
        self._stop_waiting(key)
        if not standing.holds:
            self._release(key)
            return FREE
        item = Holding(
            key,
            standing.user,
            standing.task,
            None if standing.leaving else standing.idle_since,
            None if standing.leaving else standing.stuck_since,
            standing.leaving,
        )
        self._hold(item)
        if item.idle_since is None and item.stuck_since is None:
            self._yielding.discard(key)
            self._making_room.discard(key)
        must_yield = key in self._yielding or key in self._making_room
        return Place(must_yield=True) if must_yield else FREE

    def settle(self, key: Key, *, holds: bool) -> None:
        """A start has been tried; `holds`: there is a run now."""
        if self._granted.pop(key, None) is not None and not holds:
            self._release(key)

    def gone(self, key: Key, *, holds: bool) -> None:
        """The session was deleted; `holds`: its run may still be ending."""
        self._no_longer_expected(key)
        self._note_cramped(key, None)
        self._stop_waiting(key)
        if holds:
            known = self._holding.get(key) or Holding(key, "", task=False)
            self._hold(Holding(key, known.user, known.task, leaving=True))
        else:
            self._release(key)

    @property
    def waiting(self) -> Mapping[bool, int]:
        """How many sessions wait for a place: chats (False) and tasks (True)."""
        return self._queued

    @property
    def holding(self) -> int:
        """How many sessions have one."""
        return len(self._holding)

    @property
    def pause(self) -> float:
        """Seconds between two decisions: one for ten thousand takes a tenth of a second."""
        return 0.1 + len(self._waiting) / 5_000

    async def run(self) -> None:
        """Decides whenever something has changed, until cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._changed.wait(), self._opening_left())
            except TimeoutError:
                self._expected.clear()
                self._missing = {False: 0, True: 0}
            self._changed.clear()
            self.decide()
            await asyncio.sleep(self.pause)

    def _opening_left(self) -> float | None:
        """Seconds for which the order of the start is waited for; None once it is known."""
        if not self._expected:
            return None
        return max(0.0, self._opened_at + OPENING_SECONDS - self._clock())

    def decide(self) -> Decision:
        """One decision for all: gives places, has runs yield, and wakes those concerned."""
        self._drop_stale_grants()
        unhelped = [key for key, name in self._cramped.items() if self._helped.get(key) != name]
        is_open = {task: self._is_open(task, self._queued[task]) for task in (False, True)}
        decided = decide(
            [item for item in self._waiting.values() if is_open[self._share.is_task(item)]],
            [self._as_it_will_be(item) for item in self._holding.values()],
            self._share,
            started=(self._started[False], self._started[True]),
            last_start=self._last_start,
            cramped=len(unhelped),
        )
        for key in decided.starts:
            item = self._waiting[key]
            self._started[self._share.is_task(item)] += 1
            self._grant(item)
            self.wake(key)
        if all(is_open.values()):
            self._number(decided.chats, decided.tasks)
        self._have_yield(decided, unhelped)
        return decided

    def _as_it_will_be(self, item: Holding) -> Holding:
        return replace(item, leaving=True) if item.key in self._making_room else item

    def _number(self, *queues: tuple[Key, ...]) -> None:
        positions = {key: number for queue in queues for number, key in enumerate(queue, 1)}
        if positions != self.positions or not self._numbered:
            self._numbered = True
            self.positions = positions
            self.moved.set()

    def _have_yield(self, decided: Decision, unhelped: list[Key]) -> None:
        before = self._yielding | self._making_room
        self._yielding = set(decided.yields)
        self._making_room.update(decided.makes_room)
        for key in unhelped[: len(decided.makes_room)]:
            # One for each attempt: a run that fits nowhere must not empty the cluster.
            self._helped[key] = self._cramped[key]
        for key in (*decided.yields, *decided.makes_room):
            if key not in before:
                self.wake(key)

    def _ask(self, item: Waiting) -> Place:
        key, task = item.key, self._share.is_task(item)
        if key in self._granted:
            return FREE
        self._release(key)
        if key not in self._waiting:
            if self._fits_at_once(task):
                self._grant(item)
                return FREE
            self._queued[task] += 1
            self._asked_at[key] = self._clock()
        if self._waiting.get(key) != item or self._granted:
            self._changed.set()
        self._waiting[key] = item
        return Place(
            free=False,
            position=self.positions.get(key),
            waiting=self._queued[task],
            places=self._share.most_tasks if task else self._share.for_chats,
            task=task,
        )

    def _fits_at_once(self, task: bool) -> bool:
        """Whether a place can be given without overtaking anybody."""
        if self._queued[task] or not self._is_open(task, 1):
            return False
        if task:
            return self._room.fits_task(chats_wait=self._queued[False] > 0)
        return self._room.fits_chat()

    def _is_open(self, task: bool, asking: int) -> bool:
        """Whether the queue's order is known: who waited before a restart has been looked at."""
        if not self._missing[task]:
            return True
        taken = self._room.tasks if task else self._room.chats
        most = self._share.most_tasks if task else self._share.for_chats
        free = min(most - taken, self._share.places - self._room.total)
        return self._missing[task] + asking <= free

    def _grant(self, item: Waiting) -> None:
        now = self._clock()
        waited = now - self._asked_at.get(item.key, now)
        self.on_place(task=self._share.is_task(item), seconds=max(0.0, waited))
        self._stop_waiting(item.key)
        self._hold(Holding(item.key, item.user, item.task))
        self._granted[item.key] = now
        self._note_start(item.user, item.task, now)

    def _drop_stale_grants(self) -> None:
        latest = self._clock() - GRANT_SECONDS
        for key in [k for k, since in self._granted.items() if since < latest]:
            self.settle(key, holds=False)

    def _hold(self, item: Holding) -> None:
        known = self._holding.get(item.key)
        if known == item:
            return
        if known is not None:
            self._room.add(task=self._share.is_task(known), count=-1)
        self._room.add(task=self._share.is_task(item))
        self._holding[item.key] = item
        self._tell()

    def _release(self, key: Key) -> None:
        known = self._holding.pop(key, None)
        self._granted.pop(key, None)
        self._yielding.discard(key)
        self._making_room.discard(key)
        if known is not None:
            self._room.add(task=self._share.is_task(known), count=-1)
            self._tell()

    def _stop_waiting(self, key: Key) -> None:
        item = self._waiting.pop(key, None)
        self._asked_at.pop(key, None)
        if item is not None:
            self._queued[self._share.is_task(item)] -= 1
            self._changed.set()

    def _note_cramped(self, key: Key, name: str | None) -> None:
        if name is None:
            self._cramped.pop(key, None)
            self._helped.pop(key, None)
        elif self._cramped.get(key) != name:
            self._cramped[key] = name
            self._changed.set()

    def _note_start(self, user: str, is_task: bool, began_at: float | None) -> None:
        if began_at is not None:
            whose = (user, is_task and self._share.for_tasks > 0)
            self._last_start[whose] = max(began_at, self._last_start.get(whose, 0.0))

    def _no_longer_expected(self, key: Key) -> None:
        task = self._expected.pop(key, None)
        if task is not None:
            self._missing[task] -= 1
            self._tell()

    def _tell(self) -> None:
        """A decision without anybody who waits for one is none."""
        if self._waiting or self._cramped:
            self._changed.set()
