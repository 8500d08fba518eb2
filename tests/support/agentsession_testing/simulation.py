"""`plan()` as an operator in a played world, and the promises that it keeps.

What the operator sees comes late, twice or not at all; what was lost is seen again when it has to read
everything anew, as kopf's watches and Redis' hints do after a cut.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from agentsession_core.api import Reason
from agentsession_core.mailbox.model import FailureRecord, RunRecord, RunState
from agentsession_operator.model import Children, JobView, PodView
from agentsession_operator.plan import plan
from agentsession_operator.world import (
    Action,
    ConfirmGone,
    CountFailure,
    CreateClaim,
    CutOff,
    DeleteJob,
    DeleteSession,
    Drain,
    EndRun,
    EndTurn,
    GiveUp,
    KeepRun,
    Place,
    Plan,
    ReopenMailbox,
    StartRun,
    TellHeld,
    WarnOfEnd,
    World,
)
from agentsession_testing.operator_worlds import UID, make_claim, make_job, make_world
from agentsession_testing.played_session import PlayedSession

LATEST = 5.0
REPAIR_SECONDS = 3.0


V = TypeVar("V", JobView, PodView)


@dataclass
class Simulation(PlayedSession):
    """A played session with its operator. `place` is what the queue for runs says; `operator_offset`:
    how many seconds the operator's clock is ahead of the right one."""

    place: Place = field(default_factory=Place)
    operator_offset: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.seen_jobs: dict[str, JobView] = {}
        self.seen_pods: dict[str, PodView] = {}
        self.up = True
        self.was_behind = False
        self.excused_until = 0.0
        self._timer: float | None = None
        self._life = 0
        self._busy = False
        self._again = False

    def pass_time(self, seconds: float) -> None:
        """Lets everything happen that is due until then."""
        end = self.now + seconds
        while True:
            heap_due = self._heap[0][0] if self._heap else None
            due = min((t for t in (heap_due, self._timer) if t is not None), default=None)
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self._check_lateness()
            if due == self._timer:
                self._timer = None
                self.look()
            else:
                heapq.heappop(self._heap)[2]()
        self.now = end
        self._check_lateness()

    def jump(self, seconds: float) -> None:
        """Redis' clock is set to another time; the operator's stays right."""
        self.note(f"clock jumps {seconds:+}")
        self.offset += seconds
        self.was_behind = self.was_behind or self.offset < 0
        # The operator's appointment stands as it was made; and an activity that lies in the future now
        # is believed until then: too late is safe. Nothing ends before both clocks have come so far.
        late = max(0.0, -seconds) + max(0.0, self.offset)
        self.excused_until = max(self.excused_until, self.now) + late + self.suspend_after

    def excuse(self, seconds: float) -> None:
        """For so long the operator cannot know what it would have to do."""
        self.excused_until = max(self.excused_until, self.now + seconds)

    # What the operator sees

    def show_job(self, job: JobView) -> None:
        for _ in range(self._deliveries()):
            self.at(self.random.uniform(0.01, 0.5), lambda: self._deliver(self.seen_jobs, job))

    def show_pod(self, pod: PodView) -> None:
        for _ in range(self._deliveries()):
            self.at(self.random.uniform(0.01, 0.5), lambda: self._deliver(self.seen_pods, pod))

    def _deliver(self, seen: dict[str, V], view: V) -> None:
        # A watch tells the states of one object in order: the newest that it told never goes back.
        newest = self.jobs.get(view.name) or self.pods.get(view.name)
        seen[view.name] = view if newest is None else newest  # type: ignore[assignment]
        self.look()

    def tell_operator(self) -> None:
        for _ in range(self._deliveries()):
            self.at(self.random.uniform(0.001, 0.2), self.look)

    def _deliveries(self) -> int:
        if self.random.random() < self.chances.lost:
            # Whoever loses something has lost the connection, and reads everything anew.
            self.excuse(REPAIR_SECONDS)
            self.at(self.random.uniform(0.5, REPAIR_SECONDS), self._read_anew)
            return 0
        return 2 if self.random.random() < self.chances.doubled else 1

    def _read_anew(self) -> None:
        self.seen_jobs, self.seen_pods = dict(self.jobs), dict(self.pods)
        self.look()

    def restart(self, seconds: float) -> None:
        """The operator dies now and is there again so many seconds later."""
        self.note(f"operator dies for {seconds:.1f}")
        self.up, self._timer, self._busy, self._again = False, None, False, False
        self._life += 1
        self.excuse(seconds + REPAIR_SECONDS)
        self.at(seconds, self._come_back)

    def _come_back(self) -> None:
        if not self.up:
            self.note("operator is back")
            self.up = True
            self._read_anew()

    # The operator

    def world(self) -> World:
        """What the operator knows now."""
        return make_world(
            self.session,
            mailbox=replace(self.mailbox, now=self.redis_now),
            children=Children(
                tuple(self.seen_jobs.values()), tuple(self.seen_pods.values()), self.claim
            ),
            place=self.place,
            local_now=self.now + self.operator_offset,
        )

    def look(self) -> None:
        """One look at the session; a second one meanwhile waits for its end."""
        if not self.up or self.deleted:
            return
        if self._busy:
            self._again = True
            return
        self._busy, self._timer = True, None
        world = self.world()
        decided = plan(world)
        self._check_plan(world, decided)
        self._carry_out(iter(decided.actions), world, decided, self._life)

    def _carry_out(self, actions: Iterator[Action], world: World, decided: Plan, life: int) -> None:
        if life != self._life:
            return
        action = next(actions, None)
        if action is None or not self._act(action):
            self._end_look(world, decided)
            return
        self.at(
            self.random.uniform(0.005, 0.3),
            lambda: self._carry_out(actions, world, decided, life),
        )

    def _end_look(self, world: World, decided: Plan) -> None:
        self._busy = False
        self.session = self.session.model_copy(update={"status": decided.status})
        waits = [1.0] if decided.actions else []
        if decided.requeue_at is not None:
            waits.append(max(0.0, decided.requeue_at - world.ends_now))
        self._timer = self.now + max(0.001, min(waits)) if waits else None
        if self._again:
            self._again = False
            self.look()

    def _act(self, action: Action) -> bool:
        self.note(f"  {action}")
        match action:
            case CreateClaim():
                self.claim = make_claim()
            case ConfirmGone():
                return self._confirm_gone()
            case StartRun():
                return self._start_run(action)
            case Drain():
                return self._drain(action)
            case KeepRun():
                self._change_run(last_turn=False, why=None)
            case _:
                self._act_for_good(action)
        return True

    def _act_for_good(self, action: Action) -> None:
        match action:
            case EndTurn():
                self._drop_turn()
            case CutOff():
                self._cut_off(action)
            case GiveUp():
                self._give_up(action)
            case WarnOfEnd() | TellHeld():
                self._tell(action)
            case EndRun():
                self._end_run(action)
            case CountFailure():
                self._count(action.run, action.reason)
            case DeleteJob():
                self._delete_job(action.name)
            case DeleteSession():
                self.deleted = not self.mailbox.waiting and self.mailbox.turn is None
            case ReopenMailbox():
                self._change(closed=False)

    def _tell(self, action: WarnOfEnd | TellHeld) -> None:
        if isinstance(action, WarnOfEnd):
            self._change(warned=action.end, warned_at=self.redis_now)
        else:
            self._change(held_told=True)

    def _confirm_gone(self) -> bool:
        """The API server's own answer; what it shows is in the cache from then on."""
        known = {*self.seen_jobs, *self.seen_pods}
        self.seen_jobs.update(self.jobs)
        self.seen_pods.update(self.pods)
        return known == {*self.seen_jobs, *self.seen_pods}

    def _start_run(self, action: StartRun) -> bool:
        current = self.mailbox.run.run if self.mailbox.run else ""
        run = f"{UID}/{action.run}"
        if current not in (action.expected, run):
            return False
        record = RunRecord(run=run, state=RunState.OPEN, begun_at=self.redis_now)
        self._change(run=record, held_told=False)
        life = self._life

        def make_job_of_run() -> None:
            if life == self._life and f"anna-r{action.run}" not in self.jobs:
                job = make_job(action.run)
                self.seen_jobs[job.name] = job
                self._set_job(job)
                self.at(self.random.uniform(0.1, 3), lambda: self._start_pod(action.run))

        # The operator may die between the run's record and its Job.
        self.at(0.004, make_job_of_run)
        return True

    def _drain(self, action: Drain) -> bool:
        run, box = self.mailbox.run, self.mailbox
        if run is None or run.run != action.run or run.state is not RunState.OPEN:
            return False
        if box.turn is not None:
            if action.force:
                self._change_run(last_turn=True, why=action.why)
            return False
        if not action.force and box.waiting:
            return False
        drained = replace(
            run,
            state=RunState.DRAINED,
            why=action.why,
            drained_at=self.redis_now,
            last_turn=False,
        )
        self._change(run=drained)
        if run.hello_at is not None:
            self._leave(drained)
        return True

    def _drop_turn(self) -> None:
        box = self.mailbox
        if box.turn is not None:
            self.given_up += box.turn.messages
            self.active_at = self.now
            self._change(
                turn=None, waiting=box.waiting - box.turn.messages, last_activity=self.redis_now
            )

    def _cut_off(self, action: CutOff) -> None:
        turn = self.mailbox.turn
        if turn is not None and turn.run == action.run != turn.cut_run:
            deaths, evictions = turn.deaths + action.own, turn.evictions + (not action.own)
            cut = replace(turn, cut_run=action.run, deaths=deaths, evictions=evictions)
            self._change(turn=cut)

    def _give_up(self, action: GiveUp) -> None:
        box, letters = self.mailbox, action.letters
        if letters.turn is None:
            self.given_up += box.waiting
            self._change(turn=None, waiting=0, waiting_since=None)
        elif box.turn is not None and box.turn.turn == letters.turn:
            self._drop_turn()

    def _end_run(self, action: EndRun) -> None:
        run = self.mailbox.run
        if run is None or run.run != action.run:
            return
        self._change_run(state=RunState.ENDED, why=action.reason)
        if action.counted:
            self._count(action.run, action.reason)

    def _count(self, run: str, reason: Reason) -> None:
        known = self.mailbox.failure
        if known is None or known.run != run:
            count = known.count + 1 if known else 1
            self._change(failure=FailureRecord(count, run, reason, self.redis_now))

    def _delete_job(self, name: str) -> None:
        job = self.jobs.pop(name, None)
        if job is None:
            return
        self.seen_jobs.pop(name, None)
        pod = self.pods.get(f"{name}-x")
        if pod is not None and pod.may_still_run:
            self._set_pod(replace(pod, deleting=True))
            self.at(self.random.uniform(0.1, 3), lambda: self._end_pod(job.run, exit_code=1))
        self.tell_operator()

    # Promises

    def _check_plan(self, world: World, decided: Plan) -> None:
        box = world.mailbox
        for action in decided.actions:
            if isinstance(action, Drain) and not action.force and (box.turn or box.waiting):
                self.fail(f"{action} although there is work")
            if isinstance(action, DeleteSession) and (box.turn or box.waiting):
                self.fail("the session is deleted although there is work")
            if isinstance(action, EndRun | DeleteJob) and self._works_well(world):
                self.fail(f"{action} although the run works")
            if self.now < self._earliest(action, world) - 0.001:
                self.fail(f"{action} before its time")

    def _earliest(self, action: Action, world: World) -> float:
        """When the action may come at the earliest, by a right clock.

        Redis' clock may have been ahead. One that was behind has stamped what happened too early, and
        nobody can know that afterwards.
        """
        if self.was_behind:
            return self.now
        match action:
            case Drain(why=Reason.IDLE):
                return self.active_at + self.suspend_after
            case DeleteSession():
                return self.active_at + world.effective.delete_after
            case _:
                return self.now

    def _works_well(self, world: World) -> bool:
        """Whether a turn runs in an open run that has time left for it."""
        turn, run = world.mailbox.turn, world.mailbox.run
        return (
            turn is not None
            and run is not None
            and turn.run == run.run
            and run.state is not RunState.ENDED
            and run.hello_at is not None
            and world.ends_now < turn.deadline
        )

    def _check_lateness(self) -> None:
        """An idle run is told to end within five seconds of its time."""
        run, box = self.mailbox.run, self.mailbox
        if run is None or run.state is not RunState.OPEN or run.hello_at is None:
            return
        going = any(pod.deleting for pod in self.pods.values() if pod.may_still_run)
        if box.turn or box.waiting or not self._runs(run) or self.deleted or going:
            return
        due = max((box.last_activity or 0.0) + self.suspend_after, run.hello_at)
        late = min(self.redis_now, self.now) - due
        if late > LATEST and self.now > self.excused_until + LATEST:
            self.fail(f"idle for {late:.1f} s longer than it should be, timer {self._timer}")
