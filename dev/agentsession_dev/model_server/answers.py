"""From a request to an answer: pure decisions, no I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from agentsession_dev.model_server.conversation import Conversation, Purpose
from agentsession_dev.model_server.errors import ApiError
from agentsession_dev.model_server.rules import Failure, RuleBook, Step, Usage
from agentsession_dev.model_server.templates import TemplateError, render, render_nested
from agentsession_dev.model_server.wire import JsonObject, MessagesRequest

SHELL_TOOL = "shell"
SHELL_TOOL_NAMES = ("Bash", "Execute", "exec_command", "shell")
CHARACTERS_PER_TOKEN = 4
NO_RULE_TEXT = "No rule of the scripted model server applies to this conversation."
FAILURE_TEXT = "This answer is not meant to arrive whole, it is part of a scripted failure."

StopReason = Literal["end_turn", "tool_use", "max_tokens"]


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool; ``id`` is what the client reports its result for."""

    id: str
    name: str
    input: JsonObject


@dataclass(frozen=True)
class Pacing:
    """How an answer is spread over time; seconds, and characters per chunk (None: words).

    ``stamped`` puts the time at which it leaves before every chunk.
    """

    delay_before: float = 0.0
    delay_per_chunk: float = 0.0
    chunk_characters: int | None = None
    stamped: bool = False


@dataclass(frozen=True)
class Answer:
    """What the model says, before it is put into bytes."""

    text: str
    tool_call: ToolCall | None
    stop_reason: StopReason
    usage: dict[str, int]
    pacing: Pacing = field(default_factory=Pacing)


@dataclass(frozen=True)
class Plan:
    """An answer with the rule and step it comes from and the failure written there."""

    answer: Answer
    rule: str | None = None
    step: int | None = None
    failure: Failure | None = None


def estimate_tokens(characters: int) -> int:
    """Return a rough token count, at least 1."""
    return max(1, characters // CHARACTERS_PER_TOKEN)


def plain_answer(text: str, body_bytes: int, stop_reason: StopReason = "end_turn") -> Answer:
    """Return an answer of text alone with estimated usage."""
    usage = _usage(Usage(), body_bytes, len(text))
    return Answer(text=text, tool_call=None, stop_reason=stop_reason, usage=usage)


def plan_turn(
    book: RuleBook,
    request: MessagesRequest,
    conversation: Conversation,
    body_bytes: int,
    tool_use_id: str,
) -> Plan:
    """Return what the rules answer to a step of a turn.

    Raises:
        ApiError: 500 naming the rule when a template fails on this conversation.
    """
    chosen = book.choose(conversation, request.model)
    if chosen is None:
        return Plan(plain_answer(NO_RULE_TEXT, body_bytes))
    rule, groups = chosen
    index = rule.step_index(conversation)
    step = rule.steps[index]
    values = _values(request, conversation, groups)
    try:
        answer = _answer_of(step, request, values, body_bytes, tool_use_id)
    except TemplateError as problem:
        raise ApiError(500, f"rule {rule.name!r}, field steps.{index}: {problem}") from None
    return Plan(answer=answer, rule=rule.name, step=index, failure=step.fail)


def side_answer(
    purpose: Purpose, request: MessagesRequest, conversation: Conversation, body_bytes: int
) -> Answer:
    """Return the answer to a call that the agent's client makes for itself."""
    if purpose == "quota":
        return plain_answer("ok", body_bytes, stop_reason="max_tokens")
    if purpose == "compact":
        said = "\n".join(f"- {text}" for text in conversation.user_texts[:-1])
        return plain_answer(
            f"<analysis>Scripted.</analysis>\n<summary>The user said:\n{said}</summary>", body_bytes
        )
    return plain_answer(json.dumps(sample_of(request.output_schema() or {})), body_bytes)


def sample_of(schema: JsonObject) -> Any:
    """Return a small value that fits a simple JSON schema (type, properties, enum, const)."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        properties: dict[str, JsonObject] = schema.get("properties", {})
        return {name: sample_of(properties[name]) for name in properties}
    samples: dict[str, Any] = {
        "string": "Scripted session",
        "integer": 0,
        "number": 0,
        "boolean": False,
        "array": [],
        "null": None,
    }
    return samples.get(kind if isinstance(kind, str) else "string")


def find_tool(wanted: str, offered: tuple[str, ...]) -> str | None:
    """Return the offered tool a rule means, or None if the request does not offer it."""
    if wanted in offered:
        return wanted
    if wanted == SHELL_TOOL:
        return next((name for name in SHELL_TOOL_NAMES if name in offered), None)
    return None


def _values(
    request: MessagesRequest, conversation: Conversation, groups: dict[str, str]
) -> dict[str, Any]:
    texts = conversation.user_texts
    return {
        "last_user_text": conversation.last_user_text,
        "first_user_text": texts[0] if texts else "",
        "history_user_texts": list(texts[:-1]),
        "n_user_texts": len(texts),
        "n_messages": conversation.message_count,
        "tool_result": conversation.tool_result,
        "model": request.model,
        "match": groups,
    }


def _answer_of(
    step: Step, request: MessagesRequest, values: dict[str, Any], body_bytes: int, tool_use_id: str
) -> Answer:
    text = render(step.say, values) if step.say is not None else ""
    tool_call = None
    if step.tool is not None:
        name = find_tool(step.tool, request.tool_names())
        if name is None:
            text = f"The script wants the tool {step.tool!r}, which this request does not offer."
        else:
            tool_input = render_nested(step.input, values)
            tool_call = ToolCall(id=tool_use_id, name=name, input=tool_input)
    elif not text:
        text = FAILURE_TEXT if step.fail is not None else text
    output = len(text) + (len(json.dumps(tool_call.input)) if tool_call else 0)
    return Answer(
        text=text,
        tool_call=tool_call,
        stop_reason="tool_use" if tool_call else "end_turn",
        usage=_usage(step.usage, body_bytes, output),
        pacing=Pacing(
            delay_before=step.delay_before_seconds,
            delay_per_chunk=step.delay_per_chunk_seconds,
            chunk_characters=step.chunk_characters,
            stamped=step.stamp_chunks,
        ),
    )


def _usage(written: Usage, body_bytes: int, output_characters: int) -> dict[str, int]:
    given_input, given_output = written.input_tokens, written.output_tokens
    return {
        "input_tokens": estimate_tokens(body_bytes) if given_input is None else given_input,
        "cache_creation_input_tokens": written.cache_creation_input_tokens,
        "cache_read_input_tokens": written.cache_read_input_tokens,
        "output_tokens": (
            estimate_tokens(output_characters) if given_output is None else given_output
        ),
    }
