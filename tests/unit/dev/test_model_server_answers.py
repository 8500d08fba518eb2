"""Answers and their bytes: templates, tools, server-sent events, failures in a script."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_dev.model_server.answers import (
    Answer,
    Pacing,
    ToolCall,
    find_tool,
    plan_turn,
    sample_of,
    side_answer,
)
from agentsession_dev.model_server.conversation import read_conversation
from agentsession_dev.model_server.errors import ApiError
from agentsession_dev.model_server.rules import parse_rules
from agentsession_dev.model_server.sse import events_of, message_object, split_text
from agentsession_dev.model_server.wire import MessagesRequest, parse_request

USAGE = {
    "input_tokens": 7,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 9,
}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def answer(
    text: str = "", tool_input: dict[str, Any] | None = None, characters: int | None = None
) -> Answer:
    call = None if tool_input is None else ToolCall("toolu_1", "Bash", tool_input)
    return Answer(
        text=text,
        tool_call=call,
        stop_reason="tool_use" if call else "end_turn",
        usage=dict(USAGE),
        pacing=Pacing(chunk_characters=characters),
    )


def decode(data: bytes) -> list[dict[str, Any]]:
    """Read a stream as a client does: blocks ended by an empty line, one data line in each."""
    events = []
    for block in data.decode().split("\n\n")[:-1]:
        name_line, data_line = block.split("\n")
        event = json.loads(data_line.removeprefix("data: "))
        assert name_line == f"event: {event['type']}"
        events.append(event)
    return events


def reassemble(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Build the content from the events, checking their order on the way."""
    content: list[dict[str, Any]] = []
    written = ""
    open_block: dict[str, Any] | None = None
    for event in events:
        if event["type"] == "content_block_start":
            assert open_block is None
            assert event["index"] == len(content)
            open_block, written = dict(event["content_block"]), ""
        elif event["type"] == "content_block_delta":
            assert open_block is not None
            assert event["index"] == len(content)
            delta = event["delta"]
            written += delta.get("text", delta.get("partial_json", ""))
        elif event["type"] == "content_block_stop":
            assert open_block is not None
            if open_block["type"] == "text":
                open_block["text"] = written
            else:
                open_block["input"] = json.loads(written)
            content.append(open_block)
            open_block = None
    assert open_block is None
    return content


@given(text=st.text(), characters=st.none() | st.integers(1, 20))
def test_chunks_joined_are_the_text(text: str, characters: int | None) -> None:
    assert "".join(split_text(text, characters)) == text


@given(
    text=st.text(st.characters(exclude_categories=["Cs"])),
    tool_input=st.none() | st.dictionaries(st.text(), JSON_VALUES, max_size=3),
    characters=st.none() | st.integers(1, 20),
)
def test_stream_carries_the_same_message(
    text: str, tool_input: dict[str, Any] | None, characters: int | None
) -> None:
    wanted = answer(text, tool_input, characters)
    data = b"".join(event.encode() for event in events_of(wanted, "msg_1", "m"))
    events = decode(data)
    whole = message_object(wanted, "msg_1", "m")
    assert reassemble(events) == whole["content"]
    assert [events[0]["type"], events[-2]["type"], events[-1]["type"]] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"]["content"] == []
    assert events[0]["message"]["stop_reason"] is None
    assert events[-2]["delta"]["stop_reason"] == whole["stop_reason"]
    assert events[-2]["usage"] == USAGE


def test_exact_sequence_of_a_tool_call() -> None:
    events = list(events_of(answer("do it", {"command": "ls"}), "msg_1", "m"))
    assert [event.name for event in events] == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[6].data["content_block"] == {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "Bash",
        "input": {},
    }
    assert events[7].data["delta"] == {"type": "input_json_delta", "partial_json": ""}


def request_of(text: str, tools: tuple[str, ...] = ("Bash",), **fields: Any) -> MessagesRequest:
    body = {
        "model": "m",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": text}],
        "tools": [{"name": name} for name in tools],
    }
    return parse_request(MessagesRequest, json.dumps(body | fields).encode())


def planned(step: dict[str, Any], request: MessagesRequest, match: str = ".*") -> Answer:
    rules = {"rules": [{"name": "r", "match": {"text": match}, "steps": [step, {"say": "end"}]}]}
    book = parse_rules(json.dumps(rules).encode())
    return plan_turn(book, request, read_conversation(request), 400, "toolu_1").answer


def test_shell_tool_with_quoted_words_of_the_person() -> None:
    step = {"tool": "shell", "input": {"command": "echo {{ match.w | shell_quote }}", "n": 1}}
    found = planned(step, request_of("say it's $HOME"), "say (?P<w>.*)")
    assert found.tool_call == ToolCall(
        "toolu_1", "Bash", {"command": "echo 'it'\"'\"'s $HOME'", "n": 1}
    )
    assert found.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("wanted", "offered", "expected"),
    [
        ("shell", ("Read", "Bash"), "Bash"),
        ("shell", ("Execute",), "Execute"),
        ("shell", ("Read",), None),
        ("Read", ("Read",), "Read"),
        ("Bash", ("Read",), None),
    ],
)
def test_find_tool(wanted: str, offered: tuple[str, ...], expected: str | None) -> None:
    assert find_tool(wanted, offered) == expected


def test_tool_that_is_not_offered_is_said_in_words() -> None:
    found = planned({"tool": "shell", "input": {}}, request_of("x", tools=()))
    assert found.tool_call is None
    assert "'shell'" in found.text
    assert found.stop_reason == "end_turn"


def test_words_of_the_person_are_never_a_template() -> None:
    found = planned({"say": "{{ last_user_text }}"}, request_of("{{ model }}{% raw %}"))
    assert found.text == "{{ model }}{% raw %}"


def test_template_that_fails_on_this_conversation_names_the_rule() -> None:
    rules = {"rules": [{"name": "r", "steps": [{"say": "{{ history_user_texts[0] }}"}]}]}
    book = parse_rules(json.dumps(rules).encode())
    request = request_of("only one")
    with pytest.raises(ApiError, match=r"rule 'r', field steps\.0: cannot be rendered"):
        plan_turn(book, request, read_conversation(request), 1, "toolu_1")


def test_usage_is_written_or_estimated() -> None:
    written = planned(
        {"say": "x", "usage": {"input_tokens": 5, "output_tokens": 6}}, request_of("")
    )
    assert (written.usage["input_tokens"], written.usage["output_tokens"]) == (5, 6)
    estimated = planned({"say": "12345678"}, request_of(""))
    assert (estimated.usage["input_tokens"], estimated.usage["output_tokens"]) == (100, 2)


def test_structured_side_answer_fits_the_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "kind": {"enum": ["a", "b"]},
            "done": {"type": "boolean"},
            "tags": {"type": "array"},
        },
    }
    output = {"format": {"type": "json_schema", "schema": schema}}
    request = request_of("x", tools=(), output_config=output)
    found = side_answer("title", request, read_conversation(request), 1)
    assert json.loads(found.text) == sample_of(schema)
    assert sample_of(schema) == {
        "title": "Scripted session",
        "kind": "a",
        "done": False,
        "tags": [],
    }


def test_compaction_keeps_what_was_said() -> None:
    request = request_of("x")
    conversation = read_conversation(
        parse_request(
            MessagesRequest,
            json.dumps(
                {
                    "model": "m",
                    "max_tokens": 9,
                    "messages": [
                        {"role": "user", "content": "the sky is blue"},
                        {"role": "assistant", "content": "yes"},
                        {"role": "user", "content": "CRITICAL: Respond with TEXT ONLY."},
                    ],
                }
            ).encode(),
        )
    )
    found = side_answer("compact", request, conversation, 1)
    assert "<summary>" in found.text
    assert "the sky is blue" in found.text
    assert "CRITICAL" not in found.text
