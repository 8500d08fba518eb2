"""Tokens of model calls, from the bodies that went over the wire. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from typing import Any, Final

# Prices of a prompt cache, in parts of the price of a token that is not cached.
CACHE_WRITE: Final = 1.25
CACHE_READ: Final = 0.1
SYSTEM: Final = "system prompt"

Count = Callable[[str], int]


@dataclass(frozen=True)
class Spent:
    """Tokens of one conversation.

    `sent` of all calls, of which `tools` in tool schemas, `system` in system prompts; `repeated` is what
    the call before had sent already, from its beginning on; `answered` is what the model wrote. `opening`
    is what the first call holds, by name.
    """

    calls: int
    sent: int
    tools: int
    system: int
    repeated: int
    answered: int
    opening: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All that went over the wire."""
        return self.sent + self.answered

    @property
    def cached(self) -> int:
        """What is sent with a prompt cache, in tokens at the price of one that is not cached."""
        new = self.sent - self.repeated
        return round(new * CACHE_WRITE + self.repeated * CACHE_READ)


def spent(bodies: Sequence[dict[str, Any]], last_answer: str, count: Count) -> Spent:
    """The tokens of a conversation whose calls had these bodies, oldest first."""
    parts = [Parts(body, count) for body in bodies]
    repeated = sum(
        _common(before.segments, after.segments, count) for before, after in pairwise(parts)
    )
    answers = sum(count(text) for text in _answers(bodies[-1])) + count(last_answer)
    return Spent(
        calls=len(bodies),
        sent=sum(part.all for part in parts),
        tools=sum(part.tools for part in parts),
        system=sum(part.system for part in parts),
        repeated=repeated,
        answered=answers,
        opening=_opening(bodies[0], count),
    )


class Parts:
    """One body as texts in the order in which a cache sees them: tools, system, messages."""

    def __init__(self, body: dict[str, Any], count: Count) -> None:
        tools = [_json(tool) for tool in body.get("tools", ())]
        system = list(_texts(body.get("system", "")))
        messages = [text for message in body["messages"] for text in _texts(message["content"])]
        self.segments = [*tools, *system, *messages]
        self.tools = sum(map(count, tools))
        self.system = sum(map(count, system))
        self.all = self.tools + self.system + sum(map(count, messages))


def _opening(body: dict[str, Any], count: Count) -> dict[str, int]:
    """What a call without a history holds: each tool, and the texts by who says them."""
    found = {f"tool `{tool['name']}`": count(_json(tool)) for tool in body.get("tools", ())}
    found[SYSTEM] = sum(map(count, _texts(body.get("system", ""))))
    for message in body["messages"]:
        name = f"messages of the role {message['role']}"
        found[name] = found.get(name, 0) + sum(map(count, _texts(message["content"])))
    return found


def _common(before: Sequence[str], after: Sequence[str], count: Count) -> int:
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))
    return sum(count(text) for text, _ in pairs)


def _answers(body: dict[str, Any]) -> Iterator[str]:
    for message in body["messages"]:
        if message["role"] == "assistant":
            yield from _texts(message["content"])


def _texts(content: Any) -> Iterator[str]:
    """What a model reads of some content: texts as they are, calls of tools as JSON."""
    if isinstance(content, str):
        yield content
        return
    for block in content:
        if block["type"] == "text":
            yield block["text"]
        elif block["type"] == "tool_result":
            yield from _texts(block.get("content") or "")
        elif block["type"] == "tool_use":
            yield _json({"name": block["name"], "input": block["input"]})
        else:
            raise ValueError(f"a block of type {block['type']!r} is not counted")


def _json(value: dict[str, Any]) -> str:
    kept = {key: part for key, part in value.items() if key != "cache_control"}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
