"""`diagnose logs --follow`: of a deployment and of a session; texts from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentsession_testing.canned_orchestrator import CannedApi
from agentsession_testing.orchestrator_canned_command import Run, call
from agentsession_testing.orchestrator_samples import (
    AT,
    DEPLOY_ID,
    DONE,
    ENDED,
    LOG,
    RESPONSE,
    SUMMARY,
    events,
)
from orchestrator_cli.errors import Exit

__all__ = ["call"]


def line(number: int) -> dict[str, Any]:
    return {"id": f"1700-{number}", "at": AT, "kind": "turn", "message": f"turn t{number} began"}


class Session(CannedApi):
    """A session whose log slides on with every look."""

    def __init__(self, *looks: list[dict[str, Any]]) -> None:
        super().__init__({}, self._next)
        self._looks = list(looks)

    def _next(self, request: httpx.Request) -> httpx.Response:
        items = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        log = {**LOG, "items": items, "of": "session", "name": "ada", "task_id": None}
        return httpx.Response(200, json={**log, "project_id": None})


def test_of_a_session_each_line_once_until_its_time_is_over(call: Run) -> None:
    api = Session([line(1), line(2)], [line(1), line(2)], [line(2), line(3)], [line(3), line(4)])
    said = call("diagnose logs session --follow --timeout 9 --json", api)
    found = [json.loads(one)["message"] for one in said.out.splitlines()]
    assert found == [f"turn t{number} began" for number in (1, 2, 3, 4)]
    assert (said.code, said.error["code"]) == (Exit.TIMED_OUT, "not_ended")
    assert api.requests[0] == "GET /v1/logs/session?limit=100"
    assert 5 <= len(api.requests) <= 7


def test_of_a_deployment_to_its_end(call: Run) -> None:
    task = f"/v1/tasks/{DEPLOY_ID}"
    api = CannedApi(
        {
            "GET /v1/logs/web": {**LOG, "items": [{**line(0), "id": "7"}]},
            f"GET {task}": {**DONE, "id": DEPLOY_ID, "kind": "deploy"},
            f"GET {task}/events": events(ENDED),
        }
    )
    said = call("diagnose logs web --follow", api)
    assert said.code == Exit.OK
    assert "after=6" in api.requests[1]
    assert "succeeded" in said.out


def test_of_what_was_never_deployed(call: Run) -> None:
    never = {**LOG, "items": [], "task_id": None, "standing": "was never deployed"}
    said = call("diagnose logs web --follow --json", CannedApi({"GET /v1/logs/web": never}))
    assert (said.code, said.error["code"]) == (Exit.NOT_FOUND, "deployment_not_found")


def test_its_time_is_a_followers(call: Run) -> None:
    said = call("diagnose logs web --timeout 5", CannedApi({}))
    assert (said.code, "--follow" in said.err) == (Exit.USAGE, True)


@pytest.mark.parametrize(
    ("command", "path", "answer"),
    [("respond", "/v1/responses", RESPONSE), ("finish", "/v1/summaries", SUMMARY)],
)
def test_a_text_from_a_file_or_standard_input(
    call: Run, tmp_path: Path, command: str, path: str, answer: dict[str, Any]
) -> None:
    file = tmp_path / "said.md"
    file.write_text("# Done\n\n*All* of it.\n", encoding="utf-8")
    api = CannedApi({f"POST {path}": answer})
    assert call(f"{command} --file {file} --json", api).code == Exit.OK
    assert call(f"{command} --file - --json", api, "# Done\n").code == Exit.OK
    texts = [json.loads(one[one.index("{") :])["text"] for one in api.requests]
    assert texts == ["# Done\n\n*All* of it.\n", "# Done\n"]


@pytest.mark.parametrize(
    "options", ["", "x --file -", "--file FOLDER/missing", "--file FOLDER/odd"]
)
def test_no_text_is_no_request(call: Run, tmp_path: Path, options: str) -> None:
    (tmp_path / "odd").write_bytes(b"\xff\xfe")
    api = CannedApi({})
    said = call(f"respond --json {options.replace('FOLDER', str(tmp_path))}", api)
    assert (said.code, api.requests) == (Exit.USAGE, [])
