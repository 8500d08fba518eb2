"""Wherever a command takes a project, its name does as well as its number."""

from __future__ import annotations

import pytest

from agentsession_testing.canned_orchestrator import CannedApi
from agentsession_testing.orchestrator_canned_command import Run, call
from agentsession_testing.orchestrator_cases import CASES
from agentsession_testing.orchestrator_leaves import LEAVES
from agentsession_testing.orchestrator_samples import PROJECT, page
from orchestrator_cli.chosen import ProjectType
from orchestrator_cli.errors import Exit

__all__ = ["call"]

TAKE_ONE = {
    " ".join(path)
    for path, leaf in LEAVES.items()
    if any(isinstance(one.type, ProjectType) for one in leaf.params)
}
ASKED = "GET /v1/projects?name=todo-app"


def by_name(name: str, word: str = "todo-app") -> str:
    line = CASES[name].line
    return line.replace("--project 42", f"--project {word}").replace(f"{name} 42", f"{name} {word}")


def test_all_that_take_one_take_it_so() -> None:
    said = {
        " ".join(path)
        for path, leaf in LEAVES.items()
        if any(one.metavar == "PROJECT" for one in leaf.params)
    }
    assert said == TAKE_ONE
    assert {name for name in CASES if by_name(name) != CASES[name].line} == TAKE_ONE


@pytest.mark.parametrize("name", sorted(TAKE_ONE))
def test_one_request_more_and_the_same_answer(call: Run, name: str) -> None:
    case = CASES[name]
    numbered = CannedApi(case.answers)
    named = CannedApi({**case.answers, "GET /v1/projects": page(PROJECT)})
    expected = call(f"{case.line} --json", numbered, case.stdin)
    said = call(f"{by_name(name)} --json", named, case.stdin)
    assert (said.code, said.out, said.err) == (Exit.OK, expected.out, expected.err)
    assert named.requests == [ASKED, *numbered.requests]


@pytest.mark.parametrize("name", sorted(TAKE_ONE))
def test_a_name_that_no_project_has(call: Run, name: str) -> None:
    api = CannedApi({"GET /v1/projects": page()})
    said = call(f"{by_name(name)} --json", api, CASES[name].stdin)
    assert (said.code, said.error["code"]) == (Exit.NOT_FOUND, "project_not_found")
    assert "'todo-app'" in said.error["message"]
    assert "orchestrator project list" in said.error["hint"]
    assert (said.out, api.requests) == ("", [ASKED])


def test_an_api_that_knows_no_such_question(call: Run) -> None:
    # It answers with all projects.
    other = {**PROJECT, "id": 41, "name": "todo"}
    path = "GET /v1/projects/42"
    api = CannedApi({"GET /v1/projects": page(other, PROJECT), path: PROJECT})
    assert call("project get todo-app", api).code == Exit.OK
    assert api.requests == [ASKED, path]
    strange = call("project get todo-app --json", CannedApi({"GET /v1/projects": page(other)}))
    assert strange.code == Exit.NOT_FOUND


@pytest.mark.parametrize(
    "word", ["0", "00", "042", "Todo", "todo_app", "a/b", "../x", "todo-", "''", "²", "9" * 17]
)
@pytest.mark.parametrize("name", ["project get", "task list"])
def test_what_can_be_neither(call: Run, name: str, word: str) -> None:
    api = CannedApi({})
    said = call(f"{by_name(name, word)} --json", api)
    assert (said.code, said.error["code"]) == (Exit.USAGE, "usage")
    assert api.requests == []


def test_a_person_is_asked_by_the_name_they_used(call: Run) -> None:
    answers = {"GET /v1/projects": page(PROJECT), "DELETE /v1/projects/42": None}
    said = call("project delete todo-app --yes", CannedApi(answers))
    assert said.out == "project todo-app (42) is deleted\n"
