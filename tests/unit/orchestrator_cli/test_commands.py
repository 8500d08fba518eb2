"""Every command: for people and for programs, when it works and when it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from agentsession_testing.canned_orchestrator import CannedApi
from agentsession_testing.golden import assert_golden_text
from agentsession_testing.orchestrator_canned_command import Run, call
from agentsession_testing.orchestrator_cases import CASES
from agentsession_testing.orchestrator_leaves import LEAVES
from agentsession_testing.orchestrator_samples import ALLOCATION, ARTICLE, TASK_ID
from orchestrator_cli.errors import Exit

__all__ = ["call"]

ASKS = {name: case for name, case in CASES.items() if case.answers and name != "doctor"}
TRIED = {
    name: case
    for name, case in CASES.items()
    if "--dry-run" in {option for one in LEAVES[tuple(name.split())].params for option in one.opts}
}
# What makes something, and the fields with the id of it.
MAKES = {
    "project create": ("id",),
    "deploy trigger": ("task_id",),
    "deploy rollback": ("task_id",),
    "infra allocate": ("id",),
    "infra allocate-port": ("id",),
    "engineering analyze": ("id", "task_id"),
    "engineering trigger": ("id", "task_id"),
    "respond": ("id",),
    "finish": ("id",),
    "escalate": ("id",),
    "admin trigger-node": ("id",),
    "graph clear-state": ("id",),
}
# (status, code) of a refusal → the exit code.
REFUSALS = {
    (401, "token_expired"): Exit.NOT_ALLOWED,
    (403, "scope_missing"): Exit.NOT_ALLOWED,
    (403, "approval_required"): Exit.NOT_ALLOWED,
    (404, "project_not_found"): Exit.NOT_FOUND,
    (409, "conflict_of_some_kind"): Exit.CONFLICT,
    (412, "version_conflict"): Exit.CONFLICT,
    (413, "body_too_large"): Exit.USAGE,
    (422, "invalid"): Exit.USAGE,
    (409, "too_many_responses"): Exit.CONFLICT,
    (500, "failed"): Exit.FAILED,
    (503, "database_unavailable"): Exit.UNAVAILABLE,
}


def test_no_command_is_forgotten() -> None:
    assert {tuple(name.split()) for name in CASES} == set(LEAVES)


@pytest.mark.parametrize("name", CASES)
def test_it_works(request: pytest.FixtureRequest, call: Run, name: str) -> None:
    case = CASES[name]
    told = []
    for line in (case.line, f"{case.line} --json"):
        api = CannedApi(case.answers)
        said = call(line, api, case.stdin)
        assert said.code == Exit.OK
        asked = "".join(f"{one}\n" for one in api.requests)
        told.append(f"{said.told(line)}--- asked\n{asked}")
        tables = [one for one in said.out.splitlines() if one.startswith(("|", "+"))]
        assert max(map(len, tables), default=0) <= 80
        if "--json" in line:
            documents = said.out.splitlines() if "--follow" in line else [said.out]
            assert [json.loads(document) for document in documents]
    assert_golden_text(request, f"orchestrator_cli/{name.replace(' ', '-')}.txt", "\n".join(told))


@pytest.mark.parametrize("name", TRIED)
def test_it_is_tried(call: Run, name: str) -> None:
    case = TRIED[name]
    line = case.line.replace(" --yes", "")
    api = CannedApi(case.answers)
    said = call(f"{line} --dry-run --json", api, case.stdin)
    assert said.code == Exit.OK
    assert json.loads(said.out)["dry_run"] is True
    assert ["dry_run=true" in one for one in api.requests] == [True]
    people = call(f"{line} --dry-run", CannedApi(case.answers), case.stdin)
    assert people.code == Exit.OK
    assert "would" in people.out + people.err or "nothing was" in people.out + people.err


@pytest.mark.parametrize(("status", "code"), REFUSALS)
@pytest.mark.parametrize("name", ASKS)
def test_it_is_refused(call: Run, name: str, status: int, code: str) -> None:
    case = ASKS[name]

    def refuse(_: httpx.Request) -> httpx.Response:
        problem = {"status": status, "code": code, "detail": "why", "request_id": "r1", "more": 7}
        return httpx.Response(status, json=problem)

    said = call(f"{case.line} --json", CannedApi({}, refuse), case.stdin)
    assert said.code == REFUSALS[status, code]
    assert said.out == ""
    # A follower that is cut off says so before it gives up.
    error = (
        said.error
        if "--follow" not in case.line
        else json.loads(said.err.splitlines()[-1])["error"]
    )
    assert (error["code"], error["message"], error["request_id"]) == (code, "why", "r1")
    assert error["more"] == 7
    assert error["retryable"] is (said.code == Exit.UNAVAILABLE)
    people = call(case.line, CannedApi({}, refuse), case.stdin)
    assert (people.code, people.out) == (said.code, "")
    assert f"✘ why ({code})" in people.err
    assert "request r1" in people.err


@pytest.mark.parametrize("name", ASKS)
def test_nobody_answers(call: Run, name: str) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    case = ASKS[name]
    said = call(f"{case.line} --json", CannedApi({}, away), case.stdin)
    assert said.code == Exit.UNAVAILABLE
    assert json.loads(said.err.splitlines()[-1])["error"]["code"] == "unreachable"


@pytest.mark.parametrize("name", ASKS)
def test_something_else_answers(call: Run, name: str) -> None:
    def page(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="<html>Welcome</html>")

    said = call(f"{ASKS[name].line} --json", CannedApi({}, page), ASKS[name].stdin)
    assert (said.code, said.error["code"]) == (Exit.FAILED, "not_the_api")


@pytest.mark.parametrize("name", ASKS)
@pytest.mark.parametrize("missing", ["ORCHESTRATOR_API_URL", "ORCHESTRATOR_API_TOKEN"])
def test_it_does_not_know_where_or_who(
    call: Run, monkeypatch: pytest.MonkeyPatch, name: str, missing: str
) -> None:
    monkeypatch.setenv(missing, "")
    api = CannedApi({})
    said = call(f"{ASKS[name].line} --json", api, ASKS[name].stdin)
    expected = {
        "ORCHESTRATOR_API_URL": (Exit.USAGE, "url_missing"),
        "ORCHESTRATOR_API_TOKEN": (Exit.NOT_ALLOWED, "token_missing"),
    }
    assert (said.code, said.error["code"]) == expected[missing]
    assert missing in said.error["hint"]
    assert api.requests == []


@pytest.mark.parametrize("bad", ["orc_hidden\nsecond", "orc_hidd\u00e9n", "orc_hidden\x00"])
@pytest.mark.parametrize("as_json", ["", " --json"])
def test_a_token_that_is_none_is_not_shown(
    call: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bad: str, as_json: str
) -> None:
    (tmp_path / "token").write_text(bad, encoding="utf-8")
    monkeypatch.setenv("ORCHESTRATOR_API_TOKEN", "")
    monkeypatch.setenv("ORCHESTRATOR_API_TOKEN_FILE", str(tmp_path / "token"))
    said = call(f"project list{as_json}", CannedApi({}))
    assert said.code == Exit.USAGE
    assert "value_unfit" in said.err
    assert "hidd" not in said.err + said.out


def test_a_key_of_other_letters(call: Run) -> None:
    said = call("finish done --idempotency-key \u043a --json", CannedApi({}))
    assert (said.code, said.error["code"]) == (Exit.USAGE, "value_unfit")


def test_json_moves_no_cursor(call: Run) -> None:
    text = "\x9b2J \u202e \U000e0001 \u043a\u043e\u0442"
    answer = {"items": [{**ARTICLE, "body": text}], "next_cursor": None}
    said = call("search x --json", CannedApi({"GET /v1/articles": answer}))
    assert json.loads(said.out)[0]["body"] == text
    assert all(char.isprintable() or char == "\n" for char in said.out)
    assert "\u043a\u043e\u0442" in said.out


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "--yes" in case.line])
def test_nothing_is_destroyed_without_a_yes(call: Run, name: str) -> None:
    api = CannedApi({})
    said = call(f"{CASES[name].line.replace(' --yes', '')} --json", api)
    assert (said.code, said.error["code"]) == (Exit.USAGE, "not_confirmed")
    assert api.requests == []


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "--yes" in case.line])
def test_nothing_is_destroyed_after_a_no(
    call: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("orchestrator_cli.projects.at_terminal", lambda: True)
    api = CannedApi({})
    said = call(CASES[name].line.replace(" --yes", ""), api, stdin="n\n")
    assert said.code == Exit.INTERRUPTED
    assert "nothing was done: you said no" in said.err
    assert api.requests == []


@pytest.mark.parametrize("as_json", ["", " --json"])
def test_ctrl_c(call: Run, as_json: str) -> None:
    def pressed(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    said = call(f"project list{as_json}", CannedApi({}, pressed))
    assert (said.code, said.out) == (Exit.INTERRUPTED, "")
    assert (said.error["code"] if as_json else said.err) == (
        "interrupted" if as_json else "\n✘ ended before it was done (interrupted)\n"
    )


@pytest.mark.parametrize("name", MAKES)
def test_what_was_not_made_has_no_id(call: Run, name: str) -> None:
    case = CASES[name]
    made = json.loads(call(f"{case.line} --json", CannedApi(case.answers), case.stdin).out)
    said = call(f"{case.line} --dry-run --json", CannedApi(case.answers), case.stdin)
    tried = json.loads(said.out)
    assert said.err == ""
    assert set(tried) == {*made, "dry_run"}
    ids = {key for key in MAKES[name] if tried[key] is None}
    assert ids == set(MAKES[name])
    assert all(made[key] for key in ids)


CHANGES = [
    name for name, case in ASKS.items() if any(not one.startswith("GET") for one in case.answers)
]


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_something_can_be_tried(name: str) -> None:
    assert name in TRIED


def test_a_token_that_was_not_made(call: Run, tmp_path: Path) -> None:
    line = f"{CASES['token create'].line} --to {tmp_path / 'ci.token'} --dry-run --json"
    said = call(line, CannedApi(CASES["token create"].answers))
    tried = json.loads(said.out)
    assert (tried["dry_run"], tried["id"], tried["name"]) == (True, None, "ci")
    assert "orc_" not in said.out + said.err
    assert not (tmp_path / "ci.token").exists()


def test_a_port_that_is_there_already(call: Run) -> None:
    answer = {**ALLOCATION, "created": False}
    for option in ("", " --dry-run"):
        api = CannedApi({"POST /v1/projects/42/allocations": answer})
        said = call(f"infra allocate 42{option}", api)
        assert said.err == "it is there already:\n"
        assert "allocation  7" in said.out


@pytest.mark.parametrize(
    ("line", "option"),
    [
        (f"task status {TASK_ID} --timeout 5", "--timeout"),
        ("deploy trigger 42 --timeout 600", "--timeout"),
        ("deploy logs 42 --after 7", "--after"),
    ],
)
def test_an_option_that_would_do_nothing(call: Run, line: str, option: str) -> None:
    api = CannedApi({})
    said = call(f"{line} --json", api)
    assert (said.code, said.error["code"]) == (Exit.USAGE, "usage")
    assert f"{option} needs " in said.error["message"]
    assert api.requests == []


@pytest.mark.parametrize(
    ("line", "meant"), [("projct list", "'project'"), ("project lst", "'list'")]
)
def test_a_command_that_is_none(call: Run, line: str, meant: str) -> None:
    said = call(f"{line} --json")
    assert said.code == Exit.USAGE
    assert f"Did you mean {meant}?" in said.error["message"]
