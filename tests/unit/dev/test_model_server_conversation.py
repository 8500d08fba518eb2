"""Reading a conversation: whose words, which step, which kind of call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentsession_dev.model_server.conversation import (
    Conversation,
    kind_of,
    person_text,
    purpose_of,
    read_conversation,
)
from agentsession_dev.model_server.wire import (
    InvalidRequestError,
    MessagesRequest,
    parse_request,
)

REMINDER = "<system-reminder>\nAs you answer, mind this.\n</system-reminder>\n"


def user(*texts: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def calls(tool_use_id: str = "toolu_1") -> dict[str, Any]:
    block = {"type": "tool_use", "id": tool_use_id, "name": "Bash", "input": {"command": "ls"}}
    return {"role": "assistant", "content": [block]}


def result(content: object, *texts: str, tool_use_id: str = "toolu_1") -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": tool_use_id, "content": content}
    return {"role": "user", "content": [block, *user(*texts)["content"]]}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def request_of(*messages: dict[str, Any], **fields: Any) -> MessagesRequest:
    body = {"model": "m", "max_tokens": 100, "messages": list(messages)} | fields
    return parse_request(MessagesRequest, json.dumps(body).encode())


def read(*messages: dict[str, Any]) -> Conversation:
    return read_conversation(request_of(*messages))


def test_first_turn_ignores_reminders_and_system_messages() -> None:
    conversation = read(user(REMINDER, "hello\n"), system("# Environment"))
    assert conversation == Conversation(
        user_texts=("hello",),
        tool_result="",
        ends_with_tool_result=False,
        step=0,
        message_count=1,
    )


def test_step_counts_assistant_messages_since_the_last_text() -> None:
    conversation = read(
        user("one"), assistant("1"), user("two"), calls(), result("a\nb"), system("note")
    )
    assert conversation.user_texts == ("one", "two")
    assert conversation.step == 1
    assert conversation.tool_result == "a\nb"
    assert conversation.ends_with_tool_result


def test_result_given_as_blocks_and_a_reminder_beside_it() -> None:
    conversation = read(user("go"), calls(), result([{"type": "text", "text": "out"}], REMINDER))
    assert conversation.tool_result == "out"
    assert conversation.ends_with_tool_result


def test_text_beside_the_result_of_an_interrupted_call_starts_a_new_turn() -> None:
    conversation = read(
        user("go"), calls(), result("rejected", "[Request interrupted by user for tool use]", "on")
    )
    assert conversation.last_user_text == "on"
    assert conversation.step == 0
    assert conversation.tool_result == ""
    assert not conversation.ends_with_tool_result


def test_skill_body_beside_a_result_is_no_text_of_the_person() -> None:
    body = "Base directory for this skill: /skills/x\n\nDo things"
    conversation = read(user("go"), calls(), result("Launching skill: x", body))
    assert conversation.user_texts == ("go",)
    assert conversation.step == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        (f"{REMINDER}asked{REMINDER}", "asked"),
        (REMINDER, ""),
        ("[Request interrupted by user]", ""),
        ("[Request interrupted by user] is what I read", "[Request interrupted by user] is what I"),
        ("<local-command-stdout>Compacted </local-command-stdout>", ""),
        (
            "<command-message>x</command-message>\n<command-name>/x</command-name>\n"
            "<command-args>a b</command-args>",
            "/x a b",
        ),
        ("This session is being continued from a previous conversation that ran out.", ""),
    ],
)
def test_person_text(text: str, expected: str) -> None:
    found = person_text(text)
    assert found == expected if not expected.startswith("[") else found.startswith(expected)


@pytest.mark.parametrize(
    ("fields", "headers", "purpose", "kind"),
    [
        ({}, {}, "turn", "main"),
        ({}, {"x-claude-code-agent-id": "a1"}, "subagent", "side"),
        ({"max_tokens": 1}, {}, "quota", "side"),
    ],
)
def test_purpose(fields: dict[str, Any], headers: dict[str, str], purpose: str, kind: str) -> None:
    request = request_of(user("hi"), **fields)
    found = purpose_of(request, read_conversation(request), headers)
    assert (found, kind_of(found)) == (purpose, kind)


@pytest.mark.parametrize(
    ("properties", "tools", "purpose"),
    [
        ({"title": {"type": "string"}}, [], "title"),
        ({"isNewTopic": {"type": "boolean"}}, [], "structured"),
        ({"title": {"type": "string"}}, [{"name": "Bash"}], "turn"),
    ],
)
def test_structured_calls_without_tools_are_side_calls(
    properties: dict[str, Any], tools: list[Any], purpose: str
) -> None:
    schema = {"type": "object", "properties": properties}
    output = {"format": {"type": "json_schema", "schema": schema}}
    request = request_of(user("<session>x</session>"), output_config=output, tools=tools)
    assert purpose_of(request, read_conversation(request), {}) == purpose


def test_compaction_is_a_side_call() -> None:
    prompt = "CRITICAL: Respond with TEXT ONLY. Do NOT call any tools."
    request = request_of(user("hi"), assistant("ho"), user(prompt))
    assert purpose_of(request, read_conversation(request), {}) == "compact"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"max_tokens": 5, "messages": [user("x")]}, "model:"),
        ({"model": "m", "messages": [user("x")]}, "max_tokens:"),
        ({"model": "m", "max_tokens": 0, "messages": [user("x")]}, "max_tokens:"),
        ({"model": "m", "max_tokens": 5, "messages": []}, "messages:"),
        ({"model": "m", "max_tokens": 5, "messages": [{"role": "user"}]}, "messages.0.content:"),
        (
            {"model": "m", "max_tokens": 5, "messages": [{"role": "bot", "content": "x"}]},
            "messages.0.role:",
        ),
        (
            {
                "model": "m",
                "max_tokens": 5,
                "messages": [{"role": "user", "content": [{"type": "text"}]}],
            },
            "messages.0.content.0.text:",
        ),
        (
            {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": 7}]},
            "messages.0.content:",
        ),
        (
            {"model": "m", "max_tokens": 5, "messages": [user("x")], "tools": [{}]},
            "tools.0.name:",
        ),
        (
            {"model": "m", "max_tokens": 5, "messages": [user("x")], "system": [{"type": "text"}]},
            "system.0.text:",
        ),
        ({"model": "m", "max_tokens": 5, "messages": [assistant("x")]}, "messages.0.role:"),
        (
            {"model": "m", "max_tokens": 5, "messages": [user("x"), calls(), user("y")]},
            "messages: tool_use ids were found without tool_result",
        ),
        (
            {"model": "m", "max_tokens": 5, "messages": [result("x")]},
            "messages.0.content.0.tool_use_id:",
        ),
    ],
)
def test_invalid_request_names_the_field(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_request(MessagesRequest, json.dumps(body).encode())
    assert str(caught.value).startswith(field)


def test_body_that_is_not_json() -> None:
    with pytest.raises(InvalidRequestError, match="Invalid JSON"):
        parse_request(MessagesRequest, b"{nope")


def test_unknown_fields_and_blocks_are_accepted() -> None:
    image = {"type": "image", "source": {"type": "base64", "data": "AA=="}}
    request = request_of({"role": "user", "content": [image]}, speed="fast", thinking={"type": "x"})
    assert read_conversation(request).user_texts == ()
