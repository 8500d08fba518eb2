"""What a request says about its conversation: whose turn, which step, which kind of call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agentsession_dev.model_server.wire import (
    CountTokensRequest,
    MessagesRequest,
    TextBlock,
    ToolResultBlock,
)

Kind = Literal["main", "side"]
Purpose = Literal[
    "turn", "subagent", "quota", "title", "structured", "compact", "count_tokens", "endpoint"
]

# Text that the client wrote into user messages by itself; a person never said it.
_CLIENT_NOTES = re.compile(
    r"<(?P<tag>system-reminder|local-command-caveat|local-command-stdout|local-command-stderr)>"
    r".*?</(?P=tag)>",
    re.DOTALL,
)
_CLIENT_TEXTS = re.compile(
    r"\[Request interrupted by user[^\]]*\]$"
    r"|Base directory for this skill: "
    r"|This session is being continued from a previous conversation"
)
# A slash command is sent as an echo of its parts, in this order or without arguments.
_COMMAND_ECHO = re.compile(
    r"^<command-message>.*?</command-message>\s*<command-name>(?P<name>[^<]*)</command-name>"
    r"(?:\s*<command-args>(?P<args>.*?)</command-args>)?",
    re.DOTALL,
)
_COMPACT_PROMPT = re.compile(r"CRITICAL: Respond with TEXT ONLY\.")
SUBAGENT_HEADER = "x-claude-code-agent-id"


@dataclass(frozen=True)
class Conversation:
    """The facts of a conversation that rules look at.

    ``step`` counts the assistant messages since the last text a person wrote, so a server that
    restarts in the middle of a turn still knows where it is.
    """

    user_texts: tuple[str, ...]
    tool_result: str
    ends_with_tool_result: bool
    step: int
    message_count: int

    @property
    def last_user_text(self) -> str:
        """Return the newest text a person wrote, or an empty string."""
        return self.user_texts[-1] if self.user_texts else ""


def person_text(text: str) -> str:
    """Return what a person wrote in a text block, or an empty string if it was the client."""
    stripped = _CLIENT_NOTES.sub("", text).strip()
    if _CLIENT_TEXTS.match(stripped):
        return ""
    echo = _COMMAND_ECHO.match(stripped)
    return f"{echo['name']} {echo['args'] or ''}".strip() if echo else stripped


def read_conversation(request: CountTokensRequest) -> Conversation:
    """Return the facts of a request's conversation; each text block of a person is one text."""
    user_texts: list[str] = []
    step = 0
    tool_result = ""
    ends_with_tool_result = False
    spoken = [message for message in request.messages if message.role != "system"]
    for message in spoken:
        ends_with_tool_result = False
        if message.role == "assistant":
            step += 1
            continue
        blocks = message.blocks()
        results = [block.as_text() for block in blocks if isinstance(block, ToolResultBlock)]
        texts = [person_text(block.text) for block in blocks if isinstance(block, TextBlock)]
        if any(texts):
            # A result beside a text is that of an interrupted call: the text starts a new turn.
            user_texts += filter(None, texts)
            step, tool_result = 0, ""
        elif results:
            tool_result = "\n".join(results)
            ends_with_tool_result = True
    return Conversation(
        user_texts=tuple(user_texts),
        tool_result=tool_result,
        ends_with_tool_result=ends_with_tool_result,
        step=step,
        message_count=len(spoken),
    )


def purpose_of(
    request: MessagesRequest, conversation: Conversation, headers: Mapping[str, str]
) -> Purpose:
    """Return what the client wants of a ``POST /v1/messages``.

    Everything but ``turn`` and ``subagent`` is a side call: the agent's client asks for itself.
    """
    if request.max_tokens == 1:
        return "quota"
    schema = request.output_schema()
    if schema is not None and not request.tools:
        return "title" if "title" in schema.get("properties", {}) else "structured"
    if _COMPACT_PROMPT.match(conversation.last_user_text):
        return "compact"
    if SUBAGENT_HEADER in headers:
        return "subagent"
    return "turn"


def kind_of(purpose: Purpose) -> Kind:
    """Return ``main`` for the steps of a person's turn and ``side`` for everything else."""
    return "main" if purpose == "turn" else "side"
