"""How the tokens of a conversation are counted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest

from agentsession_dev.model_server.rules import parse_rules
from agentsession_testing.orchestrator_lines import commands_of, name_of
from orchestrator_cli.app import cli
from workbench.tokens.conversations import CONVERSATIONS, Conversation
from workbench.tokens.counting import Spent, spent
from workbench.tokens.mcp_server import answer
from workbench.tokens.recorded import instructions
from workbench.tokens.report import KNOWING, PLAIN, SKILLS, TOOLS, Measured, difference, tables
from workbench.tokens.schemas import command_of, tool_call, tools_of
from workbench.tokens.scripts import AND, command_line, rules_of, with_skills, with_tools
from workbench.tokens.skill_texts import read_skills

SKILL_TEXTS = read_skills(Path(__file__).resolve().parents[3] / "skills")
BY_TITLE = pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda item: item.title)


def words(text: str) -> int:
    return len(text.split())


def body(*messages: dict[str, Any], system: str = "you are kind", **more: Any) -> dict[str, Any]:
    return {"system": [{"type": "text", "text": system}], "messages": list(messages), **more}


def said(role: str, *content: Any) -> dict[str, Any]:
    return {"role": role, "content": list(content)}


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


def test_what_is_counted() -> None:
    tool = {"name": "list", "description": "Lists all projects.", "input_schema": {}}
    call = {"type": "tool_use", "id": "1", "name": "list", "input": {"kind": "all of them"}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": [text("one two three four")]}
    question = said("user", text("which are there", cache_control={"type": "ephemeral"}))
    first = body(question, tools=[tool])
    second = body(
        said("user", text("which are there")),
        said("assistant", text("I look"), call),
        said("user", result),
        tools=[{**tool, "cache_control": {"type": "ephemeral"}}],
    )
    tool_words, call_words = 3, 3  # JSON without spaces but for those of the texts
    of_first = tool_words + 3 + 3
    of_second = of_first + 2 + call_words + 4
    assert spent([first, second], "there are four", words) == Spent(
        calls=2,
        sent=of_first + of_second,
        tools=2 * tool_words,
        system=6,
        repeated=of_first,
        answered=2 + call_words + 3,
        opening={"tool `list`": tool_words, "system prompt": 3, "messages of the role user": 3},
    )


def test_what_changed_is_sent_anew_with_all_behind_it() -> None:
    bodies = [body(said("user", text("a b")), system=system) for system in ("one", "one", "other")]
    assert spent(bodies, "", words).repeated == 3


def test_what_is_not_understood_is_not_left_out() -> None:
    image = {"type": "image", "source": {}}
    with pytest.raises(ValueError, match="'image' is not counted"):
        spent([body(said("user", image))], "", words)


def test_a_cache_makes_what_was_sent_before_cheap() -> None:
    assert Spent(2, sent=300, tools=0, system=0, repeated=100, answered=0).cached == 260


def test_tools_are_the_commands() -> None:
    tools = {tool["name"]: tool for tool in tools_of(cli)}
    assert {"project_list", "infra_allocate_port", "escalate"} <= set(tools)
    others = ("admin", "token", "infra_servers", "diagnose_resolve")
    assert not [name for name in tools if name.startswith(others)]
    assert tools["infra_allocate_port"]["input_schema"]["required"] == ["project", "port"]
    trigger = tools["deploy_trigger"]["input_schema"]["properties"]
    assert trigger["timeout"]["type"] == "number"
    assert set(trigger) == {"project", "image", "wait", "timeout", "dry_run"}
    kind = tools["task_list"]["input_schema"]["properties"]["kind"]
    assert kind == {"type": "string", "enum": ["engineering", "analysis", "deploy"]}


def test_a_command_line_as_a_call() -> None:
    line = "escalate 'It is down' --project 3 --description 'no answer'"
    expected = {"title": "It is down", "project": "3", "description": "no answer"}
    assert tool_call(cli, line) == ("escalate", expected)
    with pytest.raises(click.UsageError):
        tool_call(cli, "project nothing")


@BY_TITLE
def test_a_call_as_a_command_line(conversation: Conversation) -> None:
    for turn in conversation.turns:
        for command in turn.commands:
            name, given = tool_call(cli, command)
            assert tool_call(cli, shlex.join(command_of(cli, name, given))) == (name, given)


@BY_TITLE
def test_both_scripts_do_the_same(conversation: Conversation) -> None:
    tools = {tool["name"]: tool["input_schema"] for tool in tools_of(cli)}
    for turn in conversation.turns:
        for command in turn.commands:
            name, given = tool_call(cli, command)
            assert set(tools[name]["required"]) <= set(given) <= set(tools[name]["properties"])
        assert turn.skill is None or turn.skill in SKILL_TEXTS.texts
    with_command = parse_rules(rules_of(conversation, with_skills))
    with_calls = parse_rules(rules_of(conversation, with_tools(cli)))
    for turn, first, second in zip(
        conversation.turns, with_command.rules, with_calls.rules, strict=True
    ):
        assert len(first.steps) == (turn.skill is not None) + len(turn.shell_lines) + 1
        assert len(second.steps) == len(turn.commands) + 1


@BY_TITLE
def test_lines_hold_the_same_commands_in_the_same_order(conversation: Conversation) -> None:
    for turn in conversation.turns:
        in_lines = [command for line in turn.shell_lines for command in line.split(AND)]
        # What was refused the first time counts where it was done.
        assert tuple(dict.fromkeys(reversed(in_lines)))[::-1] == turn.commands
        for line in turn.shell_lines:
            assert list(commands_of(command_line(line))) == [
                [*shlex.split(command), "--json"] for command in line.split(AND)
            ]


@BY_TITLE
def test_what_an_agent_with_skills_uses_was_taught_before(conversation: Conversation) -> None:
    known = instructions(has_platform=True)
    for turn in conversation.turns:
        known += SKILL_TEXTS.texts[turn.skill] if turn.skill else ""
        for command in turn.commands:
            name = " ".join(name_of(shlex.split(command)))
            assert f"orchestrator {name}" in known


def test_the_report() -> None:
    totals = {TOOLS: 1000, KNOWING: 2000, SKILLS: 800}

    def measured(agent: str, less: int, **opening: int) -> Measured:
        by_kind = {
            kind: Spent(2, total - less - 10, 200, 100, repeated=0, answered=10, opening=opening)
            for kind, total in totals.items()
        }
        return Measured("talk", agent, by_kind)

    shown = tables(
        [measured(PLAIN, 0, system=7), measured("cli", 300, tool=1_001, system=2)], "words", 4
    )
    assert "4 tools, whose schemas are 100 tokens in each request, 25 a tool" in shown
    assert f"| talk | {PLAIN} | 1,000 | 2,000 | 800 | −20 % | −60 % |" in shown
    assert f"| talk | {PLAIN} | {SKILLS} | 2 | 790 | 10 | 100 | 200 | 988 |" in shown
    assert "| talk | cli: 500 | 1,000 | −50 % | 2,000 | −75 % | −51 %, −75 % |" in shown
    assert "| system | 7 | 2 |\n| tool |  | 1,001 |\n| all | 7 | 1,003 |" in shown
    assert (difference(100, 100), difference(150, 100)) == ("0 %", "+50 %")


class TestMcpServer:
    def test_tools(self) -> None:
        asked: list[Sequence[str]] = []

        def call(words: Sequence[str]) -> str:
            asked.append(words)
            return "[]"

        def said(method: str, **parameters: Any) -> Any:
            return answer({"id": 1, "method": method, "params": parameters}, call)

        assert said("initialize", protocolVersion="v")["result"]["protocolVersion"] == "v"
        tools = {tool["name"]: tool for tool in said("tools/list")["result"]["tools"]}
        assert tools["project_get"]["inputSchema"]["required"] == ["project"]
        called = said("tools/call", name="deploy_logs", arguments={"project": "1", "lines": 5})
        assert called["result"]["content"] == [{"type": "text", "text": "[]"}]
        assert asked == [["deploy", "logs", "--lines", "5", "--", "1"]]
        assert said("prompts/list")["error"]["message"] == "prompts/list"
        assert answer({"method": "notifications/initialized"}, call) is None
