"""Making sessions, waking them, and what each of them took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from agentsession_core import naming
from agentsession_core.mailbox.store import MailboxStore
from sessionload.api import Api, ApiError, Body, core_path, jobs_path, sessions_path
from sessionload.pods import MANAGED_BY_LOAD
from sessionload.records import Journal
from sessionload.tracker import LateError, Seen, Tracker

ANSWER_SECONDS = 300.0
NEVER_SECONDS = 86_400
REST = frozenset({"Suspended"})
LABEL = f"{naming.GROUP}/load"
# No pod is ever made of it: kwok only says that one runs.
PLAYED_IMAGE = "localhost/played:none"


class Kind(StrEnum):
    """What an object's start is; they are never put into one row of figures."""

    COLD = "cold"
    RESUMED = "resumed"
    WARM = "warm"
    PLAIN = "plain-job"


@dataclass
class Sample:
    """One object's way. Unix seconds; None for what was not seen.

    By this process: `intended`, `sent`, `accepted` (the API server's answer), `answered` and
    `suspended` (the watch). By Redis: `begun` (run record, just before the Job's POST), `hello`,
    `turn`, `finished`.
    """

    name: str
    kind: Kind
    pattern: str
    intended: float
    sent: float = 0.0
    accepted: float | None = None
    begun: float | None = None
    hello: float | None = None
    turn: float | None = None
    finished: float | None = None
    answered: float | None = None
    suspended: float | None = None
    error: str = ""

    @property
    def ready_seconds(self) -> float | None:
        """From the request to the runner's hello (a plain Job: to its first instruction)."""
        return self.hello - self.sent if self.hello is not None else None

    @property
    def answer_seconds(self) -> float | None:
        """From the request to the answer in the session's status."""
        return self.answered - self.sent if self.answered is not None else None


@dataclass(frozen=True)
class Habits:
    """What sessions of a load are like; seconds."""

    suspend_after: int = 0
    delete_after: int = NEVER_SECONDS


class Generator:
    """Sessions of one load in one namespace."""

    def __init__(
        self, api: Api, namespace: str, store: MailboxStore, tracker: Tracker, journal: Journal
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._store = store
        self._tracker = tracker
        self._journal = journal
        self._prompts = 0
        self.open = 0

    async def create(self, sample: Sample, habits: Habits) -> Sample:
        """A new session with its first prompt, until it is answered and at rest."""
        body = {
            "apiVersion": naming.API_VERSION,
            "kind": naming.SESSION_KIND,
            "metadata": {"name": sample.name, "labels": {LABEL: "true"}},
            "spec": {
                "user": {"id": sample.name},
                "prompt": self._prompt(),
                "idlePolicy": {
                    "suspendAfterSeconds": habits.suspend_after,
                    "deleteAfterSeconds": habits.delete_after,
                },
            },
        }
        path = sessions_path(self._namespace)
        return await self._follow(sample, habits, lambda: self._api.post(path, body))

    async def wake(self, sample: Sample, habits: Habits) -> Sample:
        """Another prompt for a session, until it is answered and at rest."""
        path = sessions_path(self._namespace, sample.name)
        patch = {"spec": {"prompt": self._prompt()}}
        return await self._follow(sample, habits, lambda: self._api.patch(path, patch))

    async def plain(
        self,
        sample: Sample,
        first_instruction: Callable[[str], Awaitable[float]],
        image: str = PLAYED_IMAGE,
    ) -> Sample:
        """A plain Job with a volume claim of its own, as a baseline; both are removed.

        `first_instruction` waits until that Job's process has begun and says when (LateError).
        """
        labels = {naming.LABEL_MANAGED_BY: MANAGED_BY_LOAD, LABEL: "true"}
        sample.sent = time.time()
        try:
            claims = core_path(self._namespace, "persistentvolumeclaims")
            await self._api.post(claims, _claim(sample.name, labels))
            await self._api.post(jobs_path(self._namespace), _job(sample.name, labels, image))
            sample.accepted = time.time()
            sample.hello = await first_instruction(sample.name)
            await self._api.delete(jobs_path(self._namespace, sample.name))
            await self._api.delete(f"{claims}/{sample.name}")
        except (ApiError, LateError) as error:
            sample.error = str(error)
        return self._note(sample)

    async def remove(self, name: str) -> None:
        """Deletes a session and waits until it is gone. Raises ApiError, LateError."""
        gone = asyncio.create_task(
            self._tracker.wait(name, "gone", lambda seen: seen.deleted, ANSWER_SECONDS)
        )
        await self._api.delete(sessions_path(self._namespace, name))
        await gone

    async def _follow(
        self, sample: Sample, habits: Habits, send: Callable[[], Awaitable[Body]]
    ) -> Sample:
        self.open += 1
        sample.sent = time.time()
        try:
            body = await send()
            sample.accepted = time.time()
            generation = int(body["metadata"]["generation"])
            answered = await self._wait(sample, "answered", lambda s: s.handled >= generation)
            sample.answered = answered.at
            if answered.outcome != "Succeeded":
                sample.error = f"the turn ended as {answered.outcome}"
            await self._read_stamps(sample)
            self.open -= 1
            if habits.suspend_after < ANSWER_SECONDS:
                seen = await self._wait(sample, "suspended", lambda s: s.phase in REST)
                sample.suspended = seen.at
        except (ApiError, LateError) as error:
            self.open -= sample.answered is None
            sample.error = str(error)
        return self._note(sample)

    async def _wait(self, sample: Sample, what: str, holds: Callable[[Seen], bool]) -> Seen:
        return await self._tracker.wait(sample.name, what, holds, ANSWER_SECONDS)

    async def _read_stamps(self, sample: Sample) -> None:
        state = await self._store.state(sample.name)
        if state.run is not None:
            sample.begun, sample.hello = state.run.begun_at, state.run.hello_at
        if state.last is not None:
            sample.turn, sample.finished = state.last.started_at, state.last.finished_at

    def _note(self, sample: Sample) -> Sample:
        self._journal.write(asdict(sample))
        return sample

    def _prompt(self) -> str:
        self._prompts += 1
        return f"prompt {self._prompts} of this load"


Make = Callable[[int, float], Awaitable[Sample]]


async def open_loop(moments: Sequence[float], make: Make) -> list[Sample]:
    """Calls `make(number, intended Unix time)` at its moment, whatever became of those before."""
    started = time.time()
    running: list[asyncio.Task[Sample]] = []
    for number, moment in enumerate(moments):
        wait = started + moment - time.time()
        if wait > 0:
            await asyncio.sleep(wait)
        running.append(asyncio.ensure_future(make(number, started + moment)))
    return list(await asyncio.gather(*running))


async def closed_loop(numbers: Iterable[int], at_once: int, make: Make) -> list[Sample]:
    """Calls `make` for every number, so many at once: to fill, not to measure."""
    pending, done = iter(numbers), list[Sample]()

    async def work() -> None:
        for number in pending:
            done.append(await make(number, time.time()))

    await asyncio.gather(*(work() for _ in range(at_once)))
    return done


def _claim(name: str, labels: dict[str, str]) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": labels},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }


def _job(name: str, labels: dict[str, str], image: str) -> Body:
    container = {
        "name": "plain",
        "image": image,
        "volumeMounts": [{"name": "workspace", "mountPath": naming.WORKSPACE}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "workspace", "persistentVolumeClaim": {"claimName": name}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }
