"""A plain tool-calling agent: a loop over the Messages API, nothing else in its requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx

MODEL: Final = "claude-opus-5-5"
MAX_TOKENS: Final = 4096
ANSWER_SECONDS: Final = 60.0

CarryOut = Callable[[str, dict[str, Any]], str]


def talk(
    model: str, system: str, tools: Sequence[dict[str, Any]], said: Sequence[str], do: CarryOut
) -> str:
    """Has the conversation with the model server at that URL; answers the last answer's text.

    Raises:
        httpx.HTTPError: the model server does not answer.
    """
    messages: list[dict[str, Any]] = []
    answer = ""
    with httpx.Client(base_url=model, timeout=ANSWER_SECONDS, trust_env=False) as client:
        for text in said:
            messages.append({"role": "user", "content": text})
            answer = _turn(client, system, tools, messages, do)
    return answer


def _turn(
    client: httpx.Client,
    system: str,
    tools: Sequence[dict[str, Any]],
    messages: list[dict[str, Any]],
    do: CarryOut,
) -> str:
    while True:
        body = {
            "model": MODEL,
            "max_tokens": MAX_TOKENS,
            "system": system,
            "tools": list(tools),
            "messages": messages,
        }
        headers = {"x-api-key": "any", "anthropic-version": "2023-06-01"}
        response = client.post("/v1/messages", json=body, headers=headers)
        content = response.raise_for_status().json()["content"]
        messages.append({"role": "assistant", "content": content})
        calls = [block for block in content if block["type"] == "tool_use"]
        if not calls:
            return "".join(block["text"] for block in content)
        results = [
            {
                "type": "tool_result",
                "tool_use_id": call["id"],
                "content": do(call["name"], call["input"]),
            }
            for call in calls
        ]
        messages.append({"role": "user", "content": results})
