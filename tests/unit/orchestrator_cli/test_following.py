"""Following a task: from any event, over a cut, to its result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from agentsession_testing.canned_orchestrator import CannedApi
from agentsession_testing.orchestrator_canned_command import Run, Said, call
from agentsession_testing.orchestrator_samples import (
    BEGAN,
    DEPLOY_ID,
    DEPLOYMENT,
    DONE,
    ENDED,
    EVENT,
    FAILED,
    TASK,
    TASK_ID,
    events,
    page,
)
from orchestrator_cli.errors import Exit

__all__ = ["call"]

PATH = f"/v1/tasks/{TASK_ID}"
FOLLOW = f"task status {TASK_ID} --follow"
Answer = Callable[[], httpx.Response]


class Task(CannedApi):
    """A task whose events come page by page, with cuts between them."""

    def __init__(self, *steps: Answer, end: dict[str, Any] = DONE) -> None:
        super().__init__({f"GET {PATH}": end}, self._next)
        self._steps = iter(steps)
        self.asked: list[int] = []

    def _next(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == PATH:
            return httpx.Response(200, json=self.answers[f"GET {PATH}"])
        assert request.url.path == f"{PATH}/events"
        self.asked.append(int(request.url.params["after"]))
        return next(self._steps)()


def shows(*items: dict[str, Any], **more: Any) -> Answer:
    return lambda: httpx.Response(200, json=events(*items, **more))


def away(status: int = 503) -> Answer:
    problem = {"status": status, "code": "database_unavailable", "detail": "away"}
    return lambda: httpx.Response(status, json=problem)


def cut() -> httpx.Response:
    raise httpx.ReadError("cut off")


def lines(said: Said) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in said.out.splitlines())


def test_each_event_once_then_the_result(call: Run) -> None:
    api = Task(
        shows(EVENT, ended=False, state="queued"),
        shows(BEGAN, ended=False, state="running"),
        shows(ended=False, state="running"),
        shows(ENDED),
    )
    said = call(f"{FOLLOW} --json", api)
    found = list(lines(said))
    assert [one.get("seq") for one in found] == [1, 2, 3, None]
    assert (found[-1]["kind"], found[-1]["task"]["status"]) == ("result", "succeeded")
    assert found[-1]["task"]["task_id"] == TASK_ID
    assert api.asked == [0, 1, 2, 2]
    assert said.code == Exit.OK
    note = json.loads(said.err)
    assert note == {"kind": "note", "message": "waits in its queue: no worker has taken it yet"}


@pytest.mark.parametrize("broken", [cut, away(502), away(503)])
def test_it_goes_on_after_the_last_event(call: Run, broken: Answer) -> None:
    # Longer than a call alone would try: the API is starting anew.
    api = Task(
        shows(EVENT, BEGAN, ended=False, state="running"),
        *[broken] * 9,
        shows(ENDED, state="failed"),
        end=FAILED,
    )
    said = call(f"{FOLLOW} --json", api)
    assert [one.get("seq") for one in lines(said)] == [1, 2, 3, None]
    assert set(api.asked[1:]) == {2}
    assert said.code == Exit.TASK_FAILED
    assert said.err.count("goes on after event 2") == 1


def test_it_does_not_wait_for_ever(call: Run) -> None:
    api = Task(shows(EVENT, ended=False, state="running"), *[away()] * 1000)
    said = call(FOLLOW, api)
    assert said.code == Exit.UNAVAILABLE
    assert 100 < len(api.asked) < 1000


def test_a_refusal_ends_it_at_once(call: Run) -> None:
    api = Task(shows(EVENT, ended=False, state="running"), away(404))
    said = call(FOLLOW, api)
    assert (said.code, len(api.asked)) == (Exit.NOT_FOUND, 2)


def test_its_time(call: Run) -> None:
    nothing = shows(ended=False, state="running")
    said = call(f"{FOLLOW} --timeout 5 --after 1", Task(*[nothing] * 9))
    assert said.code == Exit.TIMED_OUT
    assert f"orchestrator task status {TASK_ID} --follow --after 1" in said.err
    # Being cut off is no way to have more of it.
    said = call(f"{FOLLOW} --timeout 5", Task(*[away()] * 1000))
    assert said.code in (Exit.UNAVAILABLE, Exit.TIMED_OUT)


def test_from_any_event(call: Run) -> None:
    api = Task(shows(ENDED))
    said = call(f"{FOLLOW} --after 2 --json", api)
    assert ([one.get("seq") for one in lines(said)], api.asked) == ([3, None], [2])


def test_waiting_says_the_result_alone(call: Run) -> None:
    said = call(f"task status {TASK_ID} --wait --json", Task(shows(EVENT, ENDED), end=FAILED))
    assert json.loads(said.out)["status"] == "failed"
    assert said.code == Exit.TASK_FAILED


def test_what_a_task_says_moves_no_cursor(call: Run) -> None:
    said = call(FOLLOW, Task(shows({**ENDED, "message": "\x1b[2Jgone"})))
    assert "\x1b" not in said.out


def deployment(seen: int) -> CannedApi:
    path = f"/v1/tasks/{DEPLOY_ID}"
    return CannedApi(
        {
            "GET /v1/projects/42/deployments": page(DEPLOYMENT),
            f"GET {path}": {**DONE, "id": DEPLOY_ID, "kind": "deploy", "last_seq": seen},
            f"GET {path}/events": events(ENDED),
        }
    )


@pytest.mark.parametrize(
    ("options", "after"), [("", 0), ("--lines 2", 101), ("--after 7 --lines 2", 7)]
)
def test_the_log_of_a_deployment(call: Run, options: str, after: int) -> None:
    api = deployment(seen=103 if options else 3)
    said = call(f"deploy logs 42 --follow --json {options}", api)
    assert said.code == Exit.OK
    assert [one["kind"] for one in lines(said)] == ["succeeded", "result"]
    assert f"GET /v1/tasks/{DEPLOY_ID}/events?after={after}&wait=20.0" in api.requests


def test_the_log_of_what_was_never_deployed(call: Run) -> None:
    api = CannedApi({"GET /v1/projects/42/deployments": page()})
    said = call("deploy logs 42 --follow --json", api)
    assert (said.code, said.error["code"]) == (Exit.NOT_FOUND, "deployment_not_found")
    assert "deploy check 42" in said.error["hint"]


@pytest.mark.parametrize(
    "line",
    ["engineering trigger 42 Lists --follow --json", "engineering analyze Lists --wait --json"],
)
def test_a_task_is_followed_from_its_beginning(call: Run, line: str) -> None:
    api = CannedApi(
        {
            "POST /v1/tasks": TASK,
            f"GET {PATH}/events": events(EVENT, ENDED),
            f"GET {PATH}": DONE,
        }
    )
    said = call(line, api)
    assert said.code == Exit.OK
    assert json.loads(said.out.splitlines()[-1] if "--follow" in line else said.out)
