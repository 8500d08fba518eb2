"""Who is looked at first when the operator starts."""

from __future__ import annotations

from typing import Any

import pytest

from agentsession_core.api import AgentSession
from agentsession_operator.cache import Cache
from agentsession_operator.model import Key
from agentsession_operator.opening import SPREAD_SECONDS, Opening
from agentsession_operator.workqueue import WorkQueue
from agentsession_testing.operator_worlds import make_job

NOW = 1_795_582_800.0
LATER = "2026-11-26T05:00:00Z"


class Backlog:
    """Redis, as far as it is asked."""

    def __init__(self) -> None:
        self.mailboxes: list[str] = []

    async def backlog(self) -> list[str]:
        return self.mailboxes


class Stage:
    def __init__(self) -> None:
        self.cache, self.redis = Cache(), Backlog()
        self.queue = WorkQueue(self._work, lambda: NOW, lambda error: None)
        self.opening = Opening(self.cache, self.queue, self.redis, lambda: NOW)  # type: ignore[arg-type]

    async def _work(self, key: Key) -> float | None:
        raise AssertionError("nobody works here")

    def session(self, name: str, expires: str = LATER, **status: Any) -> Key:
        key = Key("agents", name)
        body = {
            "metadata": {
                "name": name,
                "namespace": "agents",
                "uid": f"uid-of-{name}",
                "generation": 1,
                "resourceVersion": "1",
            },
            "spec": {"user": {"id": name}},
            "status": {
                "phase": "Suspended",
                "observedGeneration": 1,
                "expirationTime": expires,
                **status,
            },
        }
        self.cache.put_session(key, AgentSession.from_api(body), body)
        self.queue.add(key)
        return key

    def now(self) -> set[Key]:
        """Keys that wait for a worker."""
        return set(self.queue._queued)

    def later(self) -> dict[Key, float]:
        """Keys with an appointment."""
        return dict(self.queue._deadlines)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_those_at_rest_step_back_and_are_looked_at_within_the_spread(stage: Stage) -> None:
    resting = [stage.session(f"resting{number}") for number in range(4)]
    working = stage.session("working", phase="Working")
    await stage.opening.begin()
    assert stage.now() == {working}
    appointments = stage.later()
    assert set(appointments) == set(resting)
    assert len(set(appointments.values())) == 4, "not all at the same moment"
    assert all(NOW < when <= NOW + SPREAD_SECONDS for when in appointments.values())


async def test_whoever_may_have_something_to_do_does_not_step_back(stage: Stage) -> None:
    waiting = stage.session("waiting")
    stage.redis.mailboxes = ["waiting", "nobodys"]
    changed = stage.session("changed", observedGeneration=0)
    new = stage.session("new", phase=None)
    ended = stage.session("ended", expires="2026-11-25T04:00:00Z")
    running = stage.session("running")
    job = make_job(1)
    stage.cache.jobs.put(running, job.name, job)
    await stage.opening.begin()
    assert stage.now() == {waiting, changed, new, ended, running}
    assert stage.later() == {}


async def test_a_session_that_ends_within_the_spread_is_looked_at_then(stage: Stage) -> None:
    key = stage.session("ending", expires="2026-11-25T05:00:30Z")
    await stage.opening.begin()
    assert stage.later() == {key: NOW + 30}


async def test_when_hints_were_missed_everybody_is_looked_at_those_at_rest_later(
    stage: Stage,
) -> None:
    resting, working = stage.session("resting"), stage.session("working", phase="Idle")
    stage.queue.postpone(dict.fromkeys((resting, working), NOW + 9999))
    await stage.queue.idle()
    await stage.opening.look_at_all()
    assert stage.now() == {working}
    assert stage.later()[resting] <= NOW + SPREAD_SECONDS
