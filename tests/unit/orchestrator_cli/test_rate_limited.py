"""What the command does when the API says that it asks too often."""

from __future__ import annotations

import httpx
import pytest

from agentsession_testing.canned_orchestrator import CannedApi
from agentsession_testing.orchestrator_canned_command import Run, call
from agentsession_testing.orchestrator_samples import (
    BEGAN,
    DONE,
    ENDED,
    PROJECT,
    TASK_ID,
    TOKEN,
    events,
    page,
)
from orchestrator_cli.errors import Exit

__all__ = ["call"]


class Limited(CannedApi):
    """Refuses the first requests, and notes how many came."""

    def __init__(self, answer: object, refusals: int, retry_after: int | None = 2) -> None:
        super().__init__({}, self._next)
        self._answers = [self._refused(retry_after)] * refusals
        self._answer = answer

    @staticmethod
    def _refused(seconds: int | None) -> httpx.Response:
        said = {} if seconds is None else {"retry_after": seconds}
        headers = {} if seconds is None else {"retry-after": str(seconds)}
        problem = {"status": 429, "code": "rate_limited", "detail": "too often", **said}
        return httpx.Response(429, json=problem, headers=headers)

    def _next(self, request: httpx.Request) -> httpx.Response:
        if self._answers:
            return self._answers.pop()
        return httpx.Response(200, json=self._answer)


@pytest.mark.parametrize("line", ["project get 42", "project create todo-app"])
def test_it_waits_as_long_as_it_is_told(call: Run, line: str) -> None:
    api = Limited(PROJECT, refusals=2)
    assert call(f"{line} --json", api).code == Exit.OK
    assert len(api.requests) == 3


@pytest.mark.parametrize(
    ("refusals", "retry_after", "asked"), [(9, 2, 4), (1, 31, 1), (1, None, 1)]
)
def test_not_for_ever(call: Run, refusals: int, retry_after: int | None, asked: int) -> None:
    api = Limited(page(PROJECT), refusals, retry_after)
    said = call("project list --json", api)
    assert (said.code, said.error["code"]) == (Exit.UNAVAILABLE, "rate_limited")
    assert said.error.get("retry_after") == retry_after
    assert said.error["retryable"] is True
    assert "ask for less" in said.error["hint"]
    assert len(api.requests) == asked


def test_what_is_done_anew_each_time_is_sent_once(call: Run) -> None:
    api = Limited({**TOKEN, "token": "orc_example"}, refusals=1)
    said = call("token create ci --scope read --json", api)
    assert (said.code, len(api.requests)) == (Exit.UNAVAILABLE, 1)


def test_a_follower_goes_on(call: Run) -> None:
    class Task(Limited):
        def _next(self, request: httpx.Request) -> httpx.Response:
            found = super()._next(request)
            if found.status_code == 200 and not request.url.path.endswith("/events"):
                return httpx.Response(200, json=DONE)
            return found

    api = Task(events(BEGAN, ENDED), refusals=6, retry_after=20)
    said = call(f"task status {TASK_ID} --wait --json", api)
    assert (said.code, len(api.requests)) == (Exit.OK, 8)


@pytest.mark.parametrize(("timeout", "asked"), [(5, 1), (25, 2)])
def test_never_longer_than_its_time(call: Run, timeout: int, asked: int) -> None:
    api = Limited(events(BEGAN, ENDED), refusals=99, retry_after=20)
    said = call(f"task status {TASK_ID} --wait --timeout {timeout} --json", api)
    assert said.code in (Exit.UNAVAILABLE, Exit.TIMED_OUT)
    assert asked <= len(api.requests) <= asked + 1
