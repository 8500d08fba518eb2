"""Who may start, and who has to yield, when more sessions want a run than there are places."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from agentsession_operator.model import Key

# Every so many starts the longest wait decides alone. By the fair order alone a user who has runs
# already would wait for ever while others without any keep coming.
LONGEST_WAIT_EVERY: Final = 4
NOBODY: Final[Mapping[tuple[str, bool], float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Waiting:
    """A session that would start now if it had a place.

    `since`: when its oldest message came, in seconds since the epoch. `task`: its mailbox is a task's.
    """

    key: Key
    user: str
    task: bool
    since: float


@dataclass(frozen=True, slots=True)
class Holding:
    """A session that has a place. Times in seconds since the epoch.

    `idle_since`: its run waits for a message, and since when; None while it must not be drained.
    `stuck_since`: its run cannot start, and since when it tries; None for any other. `leaving`: its
    place will be free soon.
    """

    key: Key
    user: str
    task: bool
    idle_since: float | None = None
    stuck_since: float | None = None
    leaving: bool = False


@dataclass(frozen=True)
class Share:
    """How the places are divided: `for_tasks` of them are never a chat's.

    Without a reserved share tasks are treated like chats.
    """

    places: int
    for_tasks: int = 0

    @classmethod
    def of_percent(cls, places: int, percent: int) -> Share:
        """A share of so many percent, rounded down."""
        return cls(places, places * percent // 100)

    @property
    def for_chats(self) -> int:
        """The most places that chats may have."""
        return self.places - self.for_tasks

    @property
    def most_tasks(self) -> int:
        """The most places that tasks may have: half of the chats' while those do not want them.

        A task keeps what it borrows until its turn ends, so the other half stays within reach.
        """
        return self.for_tasks + self.for_chats // 2

    def is_task(self, item: Waiting | Holding) -> bool:
        return item.task and self.for_tasks > 0


@dataclass(frozen=True)
class Decision:
    """Whom the places go to. `chats` and `tasks`: who waits on, in the order of the queue.

    `yields` have to make place for these, `makes_room` for runs that found no room in the cluster.
    """

    starts: tuple[Key, ...]
    yields: tuple[Key, ...]
    makes_room: tuple[Key, ...]
    chats: tuple[Key, ...]
    tasks: tuple[Key, ...]


@dataclass
class Room:
    """The places taken, and whether one more fits."""

    share: Share
    chats: int = 0
    tasks: int = 0

    @classmethod
    def after(cls, share: Share, holding: Iterable[Holding]) -> Room:
        room = cls(share)
        for item in holding:
            room.add(task=share.is_task(item))
        return room

    def add(self, *, task: bool, count: int = 1) -> None:
        if task:
            self.tasks += count
        else:
            self.chats += count

    @property
    def total(self) -> int:
        return self.chats + self.tasks

    def fits_chat(self) -> bool:
        return self.chats < self.share.for_chats and self.total < self.share.places

    def fits_task(self, *, chats_wait: bool) -> bool:
        """Beyond their share tasks have what no chat waits for."""
        if self.total >= self.share.places:
            return False
        if self.tasks < self.share.for_tasks:
            return True
        return not chats_wait and self.tasks < self.share.most_tasks


def decide(
    waiting: Sequence[Waiting],
    holding: Sequence[Holding],
    share: Share,
    *,
    started: tuple[int, int] = (0, 0),
    last_start: Mapping[tuple[str, bool], float] = NOBODY,
    cramped: int = 0,
) -> Decision:
    """Who may start and who must yield now; O(n log n) in those who wait and those who have a place.

    `started`: how many chats and tasks the queue has let start before. `last_start`: when a run of a
    user's chats (False) or tasks (True) began last, in seconds since the epoch. `cramped`: how many runs
    found no room in the cluster; for each of them one idle run yields.
    """
    chats, tasks = (
        deque(_ordered(waiting, holding, share, started[lane], last_start, tasks=lane))
        for lane in (False, True)
    )
    room = Room.after(share, holding)
    starts: list[Key] = []
    while chats and room.fits_chat():
        starts.append(chats.popleft().key)
        room.add(task=False)
    while tasks and room.fits_task(chats_wait=bool(chats)):
        starts.append(tasks.popleft().key)
        room.add(task=True)
    spare = _Spare(holding, share)
    if chats or tasks:
        _make_place(len(chats), len(tasks), holding, room, spare)
    return Decision(
        tuple(starts),
        tuple(spare.taken),
        spare.idle(cramped),
        tuple(item.key for item in chats),
        tuple(item.key for item in tasks),
    )


def _ordered(
    waiting: Iterable[Waiting],
    holding: Iterable[Holding],
    share: Share,
    started: int,
    last_start: Mapping[tuple[str, bool], float],
    *,
    tasks: bool,
) -> list[Waiting]:
    """One queue in its order: by how many runs the user has and awaits before it, then by how long
    ago the user's last one began, then by wait."""
    by_wait = sorted(
        (item for item in waiting if share.is_task(item) is tasks),
        key=lambda item: (item.since, item.key.namespace, item.key.name),
    )
    runs = Counter(
        item.user for item in holding if share.is_task(item) is tasks and not item.leaving
    )
    ranked = []
    for place, item in enumerate(by_wait):
        runs[item.user] += 1
        ranked.append((runs[item.user], last_start.get((item.user, tasks), 0.0), place, item))
    ranked.sort(key=lambda entry: entry[:3])
    return _merged([entry[3] for entry in ranked], by_wait, started)


def _merged(fair: list[Waiting], by_wait: list[Waiting], started: int) -> list[Waiting]:
    """The fair order, in which each fourth place goes to the longest wait."""
    picked: set[Key] = set()
    sources = (iter(fair), iter(by_wait))
    merged = []
    for place in range(len(fair)):
        oldest = (started + place + 1) % LONGEST_WAIT_EVERY == 0
        item = next(entry for entry in sources[oldest] if entry.key not in picked)
        picked.add(item.key)
        merged.append(item)
    return merged


def _make_place(
    chats_left: int, tasks_left: int, holding: Sequence[Holding], room: Room, spare: _Spare
) -> None:
    """Takes those who have to yield to the ones left, counting in those who leave anyway."""
    share = room.share
    for item in holding:
        if item.leaving:
            room.add(task=share.is_task(item), count=-1)
    for _ in range(chats_left):
        while not room.fits_chat():
            full = room.chats >= share.for_chats
            if not spare.take(room, chats=True, tasks=not full):
                return
        room.add(task=False)
    for _ in range(tasks_left):
        # Every chat that waits has its place by now: what is left may be borrowed.
        while not room.fits_task(chats_wait=False):
            if not spare.take(room, chats=room.tasks < share.for_tasks, tasks=True):
                return
        room.add(task=True)


class _Spare:
    """The runs that may yield: those that cannot start before those that are idle, longest first."""

    def __init__(self, holding: Iterable[Holding], share: Share) -> None:
        found = sorted(
            (item.stuck_since is None, item.stuck_since or item.idle_since or 0.0, place, item)
            for place, item in enumerate(holding)
            if not item.leaving and (item.stuck_since, item.idle_since) != (None, None)
        )
        self._left = [
            deque(entry for entry in found if share.is_task(entry[3]) is task)
            for task in (False, True)
        ]
        self.taken: list[Key] = []

    def take(self, room: Room, *, chats: bool, tasks: bool) -> bool:
        """Has the next one of these kinds yield; False if there is none."""
        kinds = [kind for kind, may in ((0, chats), (1, tasks)) if may and self._left[kind]]
        if not kinds:
            return False
        kind = min(kinds, key=lambda k: self._left[k][0])
        self.taken.append(self._left[kind].popleft()[3].key)
        room.add(task=kind == 1, count=-1)
        return True

    def idle(self, count: int) -> tuple[Key, ...]:
        """So many of those left that are idle."""
        found = sorted(entry for left in self._left for entry in left if entry[0])
        return tuple(entry[3].key for entry in found[:count])
