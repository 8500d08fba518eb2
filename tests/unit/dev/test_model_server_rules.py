"""Rules files: what is accepted, what an error says, which step answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentsession_dev.model_server.conversation import Conversation
from agentsession_dev.model_server.rules import (
    InvalidRulesError,
    RuleBook,
    load_rules,
    parse_rules,
)
from agentsession_dev.model_server.server import demo_rules


def conversation(
    *texts: str, step: int = 0, tool_result: str = "", after_result: bool = False
) -> Conversation:
    return Conversation(
        user_texts=texts,
        tool_result=tool_result,
        ends_with_tool_result=after_result,
        step=step,
        message_count=1,
    )


def book(*rules: dict[str, Any], **fields: Any) -> RuleBook:
    return parse_rules(json.dumps({"rules": list(rules)} | fields).encode())


def rule(name: str = "r", **fields: Any) -> dict[str, Any]:
    return {"name": name, "steps": [{"say": "x"}]} | fields


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ([rule(match={"text": "("})], "rule 'r', field match.text: .*not a valid regular"),
        ([rule(match={"txt": "x"})], "rule 'r', field match.txt: Extra inputs"),
        ([rule(steps=[])], "rule 'r', field steps: "),
        ([{"steps": [{"say": "x"}]}], "rule number 1, field name: Field required"),
        ([rule(steps=[{"say": "{{ nope }}"}])], "rule 'r', field steps.0.say: .*placeholder nope"),
        ([rule(steps=[{"say": "{{ open"}])], "rule 'r', field steps.0.say: .*not a valid template"),
        (
            [rule(steps=[{"say": "{{ match.gone }}"}])],
            "rule 'r': .*steps.0: cannot be rendered: .*gone",
        ),
        (
            [rule(steps=[{"tool": "Bash", "input": {"command": ["{{ nope }}"]}}, {"say": "x"}])],
            "rule 'r', field steps.0.input: .*placeholder nope",
        ),
        ([rule(steps=[{}])], "rule 'r', field steps.0: .*say, tool or fail"),
        ([rule(steps=[{"input": {"a": 1}, "say": "x"}])], "steps.0: .*input needs a tool"),
        ([rule(steps=[{"tool": "Bash"}])], "rule 'r': .*the last step calls a tool"),
        ([rule(steps=[{"fail": {}}])], "steps.0.fail: .*none of them"),
        (
            [rule(steps=[{"fail": {"status": 500, "reset": True}}])],
            "steps.0.fail: .*status and reset",
        ),
        ([rule(steps=[{"fail": {"status": 200}}])], "steps.0.fail.status: "),
        ([rule(steps=[{"fail": {"cut_mid": True}}])], "steps.0: .*set say or tool too"),
        ([rule(steps=[{"fail": {"status": 500, "times": 2}}])], "steps.0: .*after fail.times"),
        (
            [rule(steps=[{"say": "x", "fail": {"reset": True, "retry_after": 1}}])],
            "steps.0.fail: .*retry_after needs a status",
        ),
        ([rule(steps=[{"say": "x", "delay_per_chunk_seconds": -1}])], "delay_per_chunk_seconds"),
        ([rule("a"), rule("b", steps=[{"say": 3}])], "rule 'b', field steps.0.say: "),
        ([rule("a"), rule("a")], "must be unique.*: a"),
        ([], "field rules: "),
    ],
)
def test_errors_name_rule_and_field(wrong: list[Any], expected: str) -> None:
    with pytest.raises(InvalidRulesError, match=expected):
        book(*wrong)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(InvalidRulesError) as caught:
        book(rule("a", steps=[{"say": 1}]), rule("b", match={"model": "["}))
    assert len(str(caught.value).splitlines()) == 2


def test_missing_file_and_broken_json_name_the_file(tmp_path: Path) -> None:
    missing = tmp_path / "none.json"
    with pytest.raises(InvalidRulesError, match=r"none\.json: No such file"):
        load_rules(missing)
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(InvalidRulesError, match=r"broken\.json: .*JSON"):
        load_rules(broken)


def test_first_rule_that_applies_answers() -> None:
    rules = book(
        rule("by-model", match={"model": "haiku"}),
        rule("by-text", match={"text": r"run: (?P<what>\w+)"}),
        rule("rest"),
    )

    def chosen(text: str, model: str) -> tuple[str, dict[str, str]]:
        found = rules.choose(conversation(text), model)
        assert found is not None
        return found[0].name, found[1]

    assert chosen("run: ls", "claude-haiku-4-5") == ("by-model", {})
    assert chosen("please run: ls", "opus") == ("by-text", {"what": "ls"})
    assert chosen("other", "opus") == ("rest", {})


def test_no_rule_applies() -> None:
    assert book(rule(match={"text": "x"})).choose(conversation("y"), "m") is None


def test_rule_for_tool_results_counts_its_own_steps() -> None:
    rules = book(
        rule("results", match={"after_tool_result": True}, steps=[{"say": "a"}, {"say": "b"}]),
        rule("calls", match={"after_tool_result": False}),
    )
    for step, expected in ((1, 0), (2, 1), (3, 1)):
        now = conversation("go", step=step, after_result=True)
        found = rules.choose(now, "m")
        assert found is not None
        assert found[0].name == "results"
        assert found[0].step_index(now) == expected
    found = rules.choose(conversation("go"), "m")
    assert found is not None
    assert found[0].name == "calls"


def test_after_the_last_step_the_last_one_answers_again() -> None:
    found = book(rule(steps=[{"say": "a"}, {"say": "b"}])).rules[0]
    steps = [found.step_index(conversation("x", step=step)) for step in range(4)]
    assert steps == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hello there", "greeting"),
        ("Say hello to me", "greeting"),
        ("run: uname -a", "run-command"),
        ("Please do this.\nrun: ls -la | head", "run-command"),
        ("Deploy todo-app.", "deploy"),
        ("deploy it to the server", "echo"),
        ("what did I say first?", "first-message"),
        ("remember that the sky is blue", "remember"),
        ("Remember: milk", "remember"),
        ("what should you remember?", "recall"),
        ("write some words to file a/b.txt", "write-file"),
        ("read the file a/b.txt", "read-file"),
        ("anything else", "echo"),
    ],
)
def test_demo_rules(text: str, name: str) -> None:
    found = demo_rules().choose(conversation(text), "m")
    assert found is not None
    assert found[0].name == name
