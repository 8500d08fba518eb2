"""A played session: its mailbox as the scripts leave it, and its Jobs and pods.

`Simulation` adds the operator. Whatever happens is an event in a heap; nothing takes real time.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

from agentsession_core.api import AgentSession, OperatingMode, Reason
from agentsession_core.mailbox.model import RunRecord, RunState, TurnRecord
from agentsession_operator.model import ClaimView, JobView, PodView
from agentsession_testing.operator_worlds import EMPTY, NOW, UID, make_pod, make_session

TURN_TIMEOUT = 1800.0


class BrokenPromiseError(AssertionError):
    """Something happened that must never happen; the message has the last steps."""


@dataclass
class Chances:
    """How often things go wrong, from 0 to 1."""

    lost: float = 0.0
    doubled: float = 0.0
    crash: float = 0.0
    deaf: float = 0.0


@dataclass
class PlayedSession:
    """One session. Times are seconds by the world's own clock; Redis' may be ahead of it or behind."""

    random: Random
    chances: Chances
    session: AgentSession = field(default_factory=lambda: make_session(age=1))
    suspend_after: float = 30.0
    now: float = NOW
    offset: float = 0.0
    deleted: bool = False

    def __post_init__(self) -> None:
        self.mailbox = replace(EMPTY, waiting=0, last_activity=NOW)
        self.jobs: dict[str, JobView] = {}
        self.pods: dict[str, PodView] = {}
        self.claim: ClaimView | None = None
        self.answered = 0
        self.given_up = 0
        # By the world's own clock: what the idle time really began with.
        self.active_at = self.now
        self.steps: list[str] = []
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def tell_operator(self) -> None:
        """The mailbox or the session has changed."""

    def show_job(self, job: JobView) -> None:
        """A Job has changed."""

    def show_pod(self, pod: PodView) -> None:
        """A pod has changed."""

    def at(self, delay: float, what: Callable[[], None]) -> None:
        """Has something happen so many seconds from now."""
        self._number += 1
        heapq.heappush(self._heap, (self.now + delay, self._number, what))

    @property
    def redis_now(self) -> float:
        return self.now + self.offset

    def note(self, what: str) -> None:
        self.steps.append(f"{self.now - NOW:9.3f} {what}")

    def fail(self, why: str) -> None:
        raise BrokenPromiseError("\n".join([why, *self.steps[-40:]]))

    # People

    def write(self) -> None:
        """A message comes in."""
        if self.deleted:
            return
        self.note("message")
        self.active_at = self.now
        box = self.mailbox
        since = box.waiting_since if box.waiting else self.redis_now
        self._change(waiting=box.waiting + 1, waiting_since=since, last_activity=self.redis_now)
        self._serve()

    def set_mode(self, mode: OperatingMode) -> None:
        self.note(f"operatingMode {mode}")
        spec = self.session.spec.model_copy(update={"operating_mode": mode})
        metadata = self.session.metadata
        metadata = metadata.model_copy(update={"generation": metadata.generation + 1})
        self.session = self.session.model_copy(update={"spec": spec, "metadata": metadata})
        self.tell_operator()

    # Mailbox: what the scripts do

    def _change(self, **changes: object) -> None:
        self.mailbox = replace(self.mailbox, **changes)  # type: ignore[arg-type]
        self.tell_operator()

    def _change_run(self, **changes: object) -> None:
        run = self.mailbox.run
        assert run is not None
        self._change(run=replace(run, **changes))  # type: ignore[arg-type]

    def _serve(self) -> None:
        """The gateway gives the run its turn, if it may have one."""
        box, run = self.mailbox, self.mailbox.run
        if run is None or run.hello_at is None or not self._runs(run):
            return
        if box.turn is not None:
            if box.turn.run != run.run and run.state is not RunState.ENDED:
                turn = replace(box.turn, run=run.run, deadline=self.redis_now + TURN_TIMEOUT)
                self._begin(turn)
            return
        if run.state is RunState.OPEN and box.waiting:
            self._begin(
                TurnRecord(
                    turn=f"t{self.answered}-{self._number}",
                    run=run.run,
                    source="api",
                    attempt=1,
                    started_at=self.redis_now,
                    deadline=self.redis_now + TURN_TIMEOUT,
                    messages=box.waiting,
                )
            )

    def _begin(self, turn: TurnRecord) -> None:
        self.note(f"turn begins in {turn.run[-3:]}")
        self._change(turn=turn)
        crashes = self.random.random() < self.chances.crash
        seconds = self.random.uniform(0.2, 20)
        self.at(seconds, lambda: self._end_turn(turn, crashes=crashes))

    def _end_turn(self, turn: TurnRecord, *, crashes: bool) -> None:
        run = self.mailbox.run
        if self.mailbox.turn != turn or run is None or not self._runs(run):
            return
        if crashes:
            self.note("the run dies in its turn")
            self._end_pod(int(run.run.rpartition("/")[2]), exit_code=1)
            return
        self.note("turn ends")
        self.answered += turn.messages
        self.active_at = self.now
        left = self.mailbox.waiting - turn.messages
        drained = {"state": RunState.DRAINED, "drained_at": self.redis_now, "last_turn": False}
        after = replace(run, **drained) if run.last_turn else run  # type: ignore[arg-type]
        self._change(
            turn=None,
            waiting=left,
            waiting_since=self.mailbox.waiting_since if left else None,
            last_activity=self.redis_now,
            failure=None,
            run=after,
        )
        self._leave(after) if after.state is RunState.DRAINED else self._serve()

    def _leave(self, run: RunRecord) -> None:
        """A drained runner says bye and exits, or does not listen."""
        if self.random.random() < self.chances.deaf:
            self.note("the runner does not listen")
            return
        self.at(self.random.uniform(0.05, 1), lambda: self._bye(run.run))

    def _bye(self, run_id: str) -> None:
        run = self.mailbox.run
        if run is None or run.run != run_id or run.state is not RunState.DRAINED:
            return
        by_hand = run.why != Reason.IDLE and run.why != Reason.YIELDED
        if self.mailbox.turn is not None or (self.mailbox.waiting and not by_hand):
            self.note("bye: a message came first")
            self._change_run(state=RunState.OPEN, why=None, drained_at=None)
            self._serve()
            return
        self.note("bye")
        self._change_run(bye_at=self.redis_now)
        self._change(failure=None)
        self.at(
            self.random.uniform(0.05, 1),
            lambda: self._end_pod(int(run_id.rpartition("/")[2]), exit_code=0),
        )

    # Cluster

    def _runs(self, run: RunRecord) -> bool:
        number = int(run.run.rpartition("/")[2])
        return any(p.run == number and p.may_still_run and p.started for p in self.pods.values())

    def _set_pod(self, pod: PodView) -> None:
        self.pods[pod.name] = pod
        self.show_pod(pod)

    def _start_pod(self, number: int) -> None:
        job = self.jobs.get(f"anna-r{number}")
        if job is None or job.deleting or job.finished:
            return
        others = [p.name for p in self.pods.values() if p.may_still_run]
        if others:
            self.fail(f"pod of run {number} starts while {others} may run")
        pod = make_pod(number, started_at=self.now)
        self._set_pod(pod)
        self.at(self.random.uniform(0.1, 5), lambda: self._hello(number))

    def _hello(self, number: int) -> None:
        run = self.mailbox.run
        if run is None or run.run != f"{UID}/{number}" or run.state is RunState.ENDED:
            return
        if not self._runs(run):
            return
        self.note(f"hello of run {number}")
        self._change_run(hello_at=self.redis_now, pod_uid=f"pod-{number}")
        self._leave(run) if run.state is RunState.DRAINED else self._serve()

    def _end_pod(self, number: int, *, exit_code: int) -> None:
        pod = self.pods.get(f"anna-r{number}-x")
        if pod is None or not pod.may_still_run:
            return
        phase = "Failed" if exit_code else "Succeeded"
        self._set_pod(replace(pod, phase=phase, terminated=True, exit_code=exit_code))
        self.at(self.random.uniform(0, 2), lambda: self._finish_job(number, exit_code))

    def _finish_job(self, number: int, exit_code: int) -> None:
        job = self.jobs.get(f"anna-r{number}")
        if job is not None:
            failed = "BackoffLimitExceeded" if exit_code else None
            self._set_job(replace(job, failed_reason=failed, complete=not exit_code))

    def _set_job(self, job: JobView) -> None:
        self.jobs[job.name] = job
        self.show_job(job)

    def evict(self) -> None:
        """Somebody deletes the pod that runs."""
        for pod in list(self.pods.values()):
            if pod.may_still_run and not pod.deleting:
                self.note("pod deleted")
                self._set_pod(replace(pod, deleting=True))
                ending = partial(self._end_pod, pod.run, exit_code=1)
                self.at(self.random.uniform(0.1, 3), ending)
