"""What Claude Code 2.1.330 printed, and what is made of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_runner.drivers.base import AgentResult
from agentsession_runner.drivers.claude_code.records import (
    AssistantMessage,
    BlockStart,
    Noise,
    Record,
    ResultRecord,
    Started,
    StreamStart,
    TextDelta,
    ToolUse,
    parse_line,
)
from agentsession_runner.drivers.claude_code.turn import TurnCollector
from agentsession_runner.drivers.claude_code.verdict import judge

RECORDED: list[tuple[str, Record | None]] = [
    (
        '{"type":"command_lifecycle","command_uuid":"48c2c684-4d9a-440d-987f-f3116774a58d",'
        '"state":"started","uuid":"4422f7ee-7a95-49e1-9ad3-abd2fe827ea2","session_id":"25e8c253"}',
        Started("48c2c684-4d9a-440d-987f-f3116774a58d"),
    ),
    (
        '{"type":"command_lifecycle","command_uuid":"48c2c684-4d9a-440d-987f-f3116774a58d",'
        '"state":"queued","uuid":"5ceacc0f-d6b2-40ac-909d-6a6ce7a10dd2","session_id":"25e8c253"}',
        None,
    ),
    ('{"type":"system","subtype":"init","cwd":"/workspace","session_id":"3333","tools":[]}', None),
    (
        '{"type":"stream_event","event":{"type":"message_start","message":{"id":"msg_6","usage":{}}},'
        '"session_id":"3333","parent_tool_use_id":null,"uuid":"u","ttft_ms":64}',
        StreamStart("msg_6"),
    ),
    (
        '{"type":"stream_event","event":{"type":"content_block_start","index":0,'
        '"content_block":{"type":"text","text":""}},"parent_tool_use_id":null}',
        BlockStart(),
    ),
    (
        '{"type":"stream_event","event":{"type":"content_block_start","index":1,"content_block":'
        '{"type":"tool_use","id":"toolu_1","name":"Bash","input":{}}},"parent_tool_use_id":null}',
        None,
    ),
    (
        '{"type":"stream_event","event":{"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":"Hello "}},"parent_tool_use_id":null}',
        TextDelta("Hello "),
    ),
    (
        '{"type":"stream_event","event":{"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":"secret"}},"parent_tool_use_id":"toolu_9"}',
        None,
    ),
    (
        '{"type":"stream_event","event":{"type":"content_block_delta","index":0,'
        '"delta":{"type":"input_json_delta","partial_json":"{"}},"parent_tool_use_id":null}',
        None,
    ),
    (
        '{"type":"assistant","message":{"id":"msg_1","role":"assistant","model":"claude-opus-5-5",'
        '"content":[{"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"orchestrator '
        'x","description":"Ask"}}],"stop_reason":null},"parent_tool_use_id":null,"session_id":"33"}',
        AssistantMessage("msg_1", "", (ToolUse("Bash", "Ask"),), False),
    ),
    (
        '{"type":"assistant","message":{"id":"83b6","model":"<synthetic>","role":"assistant",'
        '"content":[{"type":"text","text":"API Error"}]},"parent_tool_use_id":null}',
        AssistantMessage("83b6", "API Error", (), True),
    ),
    (
        '{"type":"user","message":{"role":"user","content":[{"tool_use_id":"toolu_1",'
        '"type":"tool_result","content":"[]","is_error":false}]},"tool_use_result":{"stdout":""}}',
        None,
    ),
    ('{"type":"control_response","response":{"subtype":"success","request_id":"r1"}}', None),
    ("", None),
    ("Warning: something", Noise("Warning: something")),
    ('{"half": ', Noise('{"half":')),
    ("[1]", Noise("[1]")),
    ('{"type": 7}', Noise('{"type": 7}')),
]

SUCCESS: dict[str, Any] = {
    "duration_api_ms": 147,
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "result": "Hello from the fake!",
    "session_id": "9b2981d8-79d1-43a8-aab6-e0999a559e17",
    "terminal_reason": "completed",
    "api_error_status": None,
    "num_turns": 1,
}


@pytest.mark.parametrize(("line", "expected"), RECORDED)
def test_recorded_lines(line: str, expected: Record | None) -> None:
    assert parse_line(line.encode()) == expected


@pytest.mark.parametrize("line", ["[" * 100_000, '{"type":"result",' + '"a":{' * 100_000])
def test_hostile_nesting_is_noise(line: str) -> None:
    assert isinstance(parse_line(line.encode()), Noise)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "type",
        "subtype",
        "event",
        "delta",
        "message",
        "content",
        "id",
        "name",
        "input",
        "text",
        "state",
        "command_uuid",
        "errors",
        "result",
        "is_error",
        "api_error_status",
        "session_id",
        "parent_tool_use_id",
        "content_block",
    ]
)
KINDS = st.sampled_from(
    [
        "result",
        "assistant",
        "stream_event",
        "command_lifecycle",
        "content_block_delta",
        "text_delta",
        "text",
        "tool_use",
    ]
)
ODD = st.dictionaries(
    NAMES, KINDS | JSON | st.dictionaries(NAMES, KINDS | JSON, max_size=4), max_size=8
)


@given(kind=KINDS, record=ODD)
def test_a_record_of_any_shape_is_read_or_left_out(kind: str, record: dict[str, Any]) -> None:
    parsed = parse_line(json.dumps({**record, "type": kind}).encode())
    collector = TurnCollector("m", Silent())
    collector.started = True
    if parsed is not None and not isinstance(parsed, Noise):
        collector.feed(parsed)
    if collector.result is not None:
        fit = None if collector.result.problems else collector.result.record
        verdict = judge(AgentResult(collector.said, "", None, "id", fit))
        assert isinstance(verdict.text, str)
        assert verdict.problem is None or isinstance(verdict.problem.message, str)


class Silent:
    def text(self, text: str) -> None:
        assert isinstance(text, str)

    def tool(self, name: str, summary: str) -> None:
        assert isinstance(name + summary, str)


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({}, ()),
        ({"is_error": None}, ("is_error is missing",)),
        ({"is_error": 0}, ("is_error is int",)),
        ({"subtype": 1}, ("subtype is int",)),
        ({"result": ["x"]}, ("result is list",)),
        ({"errors": "x"}, ("errors is str",)),
        ({"api_error_status": "401"}, ("api_error_status is str",)),
        ({"api_error_status": True}, ("api_error_status is bool",)),
        ({"invented_later": object.__name__}, ()),
    ],
)
def test_results_are_checked(change: dict[str, Any], problems: tuple[str, ...]) -> None:
    record = parse_line(json.dumps({**SUCCESS, **change}).encode())
    assert isinstance(record, ResultRecord)
    assert record.problems == problems


@pytest.mark.parametrize(
    ("change", "outcome", "code", "words"),
    [
        ({}, "Succeeded", None, ""),
        (
            {"is_error": True, "api_error_status": 401, "terminal_reason": "api_error"},
            "ModelError",
            "model_error_401",
            "check the model key",
        ),
        (
            {"is_error": True, "api_error_status": 529},
            "ModelError",
            "model_error_529",
            "overloaded",
        ),
        (
            {
                "is_error": True,
                "api_error_status": 400,
                "terminal_reason": "prompt_too_long",
                "result": "Prompt is too long",
            },
            "ModelError",
            "model_error_prompt_too_long",
            "too long for the model",
        ),
        ({"is_error": True, "api_error_status": 418}, "ModelError", "model_error_418", "418"),
        (
            {
                "is_error": True,
                "terminal_reason": "api_error",
                "result": "API Error: Connection refused (ECONNREFUSED)",
            },
            "ModelError",
            "model_error_connection",
            "ECONNREFUSED",
        ),
        (
            {"is_error": True, "terminal_reason": "prompt_too_long"},
            "ModelError",
            "model_error_prompt_too_long",
            "too long",
        ),
        (
            {
                "is_error": True,
                "subtype": "error_max_turns",
                "errors": ["Reached maximum number of turns (1)"],
                "result": None,
                "terminal_reason": "max_turns",
            },
            "Failed",
            "max_turns",
            "Reached maximum",
        ),
        (
            {
                "is_error": True,
                "subtype": "error_max_budget_usd",
                "terminal_reason": "budget_exhausted",
            },
            "Failed",
            "max_budget",
            "budget",
        ),
        (
            {
                "is_error": True,
                "subtype": "error_during_execution",
                "terminal_reason": "aborted_tools",
                "errors": ["[ede_diagnostic] x"],
                "result": None,
            },
            "Failed",
            "agent_error",
            "ede_diagnostic",
        ),
        ({"is_error": True, "subtype": "error_new"}, "Failed", "agent_error", "reported an error"),
    ],
)
def test_verdicts(change: dict[str, Any], outcome: str, code: str | None, words: str) -> None:
    record = {**SUCCESS, **change}
    verdict = judge(AgentResult("said so far", "", None, "id", record))
    assert verdict.outcome == outcome
    assert (verdict.problem.code if verdict.problem else None) == code
    if verdict.problem:
        assert words in verdict.problem.message
        assert verdict.text == "said so far"
    else:
        assert verdict.text == SUCCESS["result"]


@pytest.mark.parametrize("result", [None, ""])
def test_a_success_without_words_falls_back_to_what_was_said(result: str | None) -> None:
    verdict = judge(AgentResult("said", "", None, "id", {**SUCCESS, "result": result}))
    assert (verdict.outcome, verdict.text) == ("Succeeded", "said")


@pytest.mark.parametrize(
    ("stderr", "exit_code", "code", "words"),
    [
        ("boom", 1, "agent_exited", "exit code 1"),
        ("", 0, "agent_exited", "exit code 0"),
        ("x" * 9000 + "the end", -9, "agent_exited", "the end"),
        ("unfit result record: is_error is missing", None, "no_result", "is_error is missing"),
    ],
)
def test_no_record_is_a_failure(stderr: str, exit_code: int | None, code: str, words: str) -> None:
    verdict = judge(AgentResult("said", stderr, exit_code, "id", None))
    assert (verdict.outcome, verdict.text) == ("Failed", "said")
    assert verdict.problem is not None
    assert verdict.problem.code == code
    assert words in verdict.problem.message
    assert len(verdict.problem.message) < 2000
    assert not verdict.conversation_lost


@pytest.mark.parametrize(
    "result",
    [
        AgentResult("", "No conversation found with session ID: x", 1, "x", None),
        AgentResult("", "Error: Session ID 123 is already in use.\n", 1, "x", None),
        AgentResult(
            "",
            "",
            1,
            "x",
            {
                "type": "result",
                "subtype": "error_during_execution",
                "is_error": True,
                "errors": ["No conversation found with session ID: x"],
            },
        ),
    ],
)
def test_an_unknown_session_is_a_lost_conversation(result: AgentResult) -> None:
    assert judge(result).conversation_lost
