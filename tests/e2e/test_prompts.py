"""Prompts through `kubectl apply`: text in, the same text at the model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest

from agentsession_testing.cluster import ModelServer, Product, condition, reply_of

NewName = Callable[[str], str]
CONTROL = "".join(chr(code) for code in range(32)) + "\x7f\x80\x9b"


def arrived(model_server: ModelServer, name: str) -> list[str]:
    """SHA-256 of the newest texts of the requests that name the session."""
    return [record["last_user_text_sha256"] for record in model_server.requests(name)]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_hundred_thousand_characters(
    product: Product, new_name: NewName, model_server: ModelServer
) -> None:
    name = new_name("long")
    prompt = f"{name} " + "x" * (100_000 - len(name) - 1)
    answered = product.answer(product.apply(product.manifest(name, prompt=prompt)))
    assert answered["status"]["lastTurn"]["outcome"] == "Succeeded"
    assert answered["status"]["lastTurn"]["truncated"] is True
    assert arrived(model_server, name) == [sha256(prompt)]


def test_as_many_wide_characters_as_the_schema_allows(
    product: Product, new_name: NewName, model_server: ModelServer
) -> None:
    name = new_name("wide")
    prompt = f"{name} " + "🙂" * (131_072 - len(name) - 1)
    manifest = json.dumps(product.manifest(name, prompt=prompt))
    # Half a megabyte: a client-side apply would keep a second copy of it in an annotation.
    product.kubectl("apply", "--server-side", "-f", "-", stdin=manifest)
    answered = product.answer(product.get(name))
    assert answered["status"]["lastTurn"]["outcome"] == "Succeeded"
    assert arrived(model_server, name) == [sha256(prompt)]


def test_control_characters(product: Product, new_name: NewName, model_server: ModelServer) -> None:
    name = new_name("control")
    prompt = f"{name} {CONTROL}\x1b]0;title\x07\u202eשלום\u2028 end"
    answered = product.answer(product.apply(product.manifest(name, prompt=prompt)))
    assert answered["status"]["lastTurn"]["outcome"] == "Succeeded"
    # Kubernetes keeps every one of them; NUL is marked on the way to the agent.
    assert product.get(name)["spec"]["prompt"] == prompt
    assert arrived(model_server, name) == [sha256(prompt.replace("\0", "\ufffd"))]


@pytest.mark.parametrize("prompt", ["/clear now", "--help me", "-", '{"type":"user"}'])
def test_what_looks_like_something_else(product: Product, new_name: NewName, prompt: str) -> None:
    name = new_name("text")
    answered = product.answer(product.apply(product.manifest(name, prompt=prompt)))
    assert answered["status"]["lastTurn"]["outcome"] == "Succeeded"
    assert prompt in reply_of(answered)


def test_only_spaces(product: Product, new_name: NewName, model_server: ModelServer) -> None:
    name = new_name("spaces")
    answered = product.answer(product.apply(product.manifest(name, prompt=" \n\t ")))
    assert answered["status"]["lastTurn"]["outcome"] == "Succeeded"
    assert "The message was empty" in reply_of(answered)
    assert answered["status"].get("usage", {}).get("outputTokens", 0) == 0
    assert condition(answered, "Degraded")["status"] == "False"
    again = product.answer(product.patch(name, prompt=f"hello from {name}"))
    assert again["status"]["lastTurn"]["outcome"] == "Succeeded"
    assert len(model_server.requests(name)) == 1
