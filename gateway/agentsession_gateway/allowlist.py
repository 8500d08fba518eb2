"""What of a model call is let through. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agentsession_core.api import Network
from agentsession_core.problems import ProblemError
from agentsession_gateway.upstream_failure import WAIT_LIMIT_SECONDS

MESSAGES: Final = "/v1/messages"
ANTHROPIC_CALLS: Final = frozenset(
    {("POST", MESSAGES), ("POST", "/v1/messages/count_tokens"), ("GET", "/v1/models")}
)
REQUEST_HEADERS: Final = (
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "content-type",
    "user-agent",
)
RESPONSE_HEADERS: Final = ("content-type", "request-id", "retry-after", "x-should-retry")
# A body of nothing but brackets grows to many times its size when it is read.
ELEMENTS_LIMIT: Final = 1_000_000
# Tools that the CLI itself carries out. Any other typed tool runs at the model's provider.
_CLIENT_TOOLS: Final = ("bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_")


@dataclass(frozen=True)
class CallBody:
    """What the gateway wants to know of a call's body."""

    model: str
    stream: bool


def is_allowed(method: str, path: str) -> bool:
    """Whether the decoded path may be called at the Anthropic API with that method."""
    return (method, path) in ANTHROPIC_CALLS


def upstream_headers(headers: Mapping[str, str], credentials: Mapping[str, str]) -> dict[str, str]:
    """The request's headers for the upstream: the allowed ones and the real key."""
    allowed = {name: headers[name] for name in REQUEST_HEADERS if name in headers}
    merged = {**allowed, **credentials}
    if "anthropic-beta" in allowed and "anthropic-beta" in credentials:
        merged["anthropic-beta"] = f"{allowed['anthropic-beta']},{credentials['anthropic-beta']}"
    # Tokens are counted from the answer as it passes.
    merged["accept-encoding"] = "identity"
    return merged


def answer_headers(status: int, headers: Mapping[str, str], wait: float | None) -> dict[str, str]:
    """The upstream's headers for the caller; `wait` is its retry-after in seconds."""
    allowed = {name: headers[name] for name in RESPONSE_HEADERS if name in headers}
    too_long = wait is not None and wait > WAIT_LIMIT_SECONDS
    if wait is None or too_long:
        # The CLI would sleep through the turn, or stumble over a value that is no time.
        allowed.pop("retry-after", None)
    if status == 401 or too_long:
        # The key is the gateway's: trying again cannot help. Claude Code 2.1.330 tries a 401 all the
        # same; CLAUDE_CODE_MAX_RETRIES, which the runner sets, keeps that to seconds.
        allowed["x-should-retry"] = "false"
    return allowed


def inspect_body(body: bytes, models: Sequence[str], network: Network) -> CallBody:
    """Checks a call's body against the template. Raises ProblemError 400 or 403."""
    request = _read(body)
    model = request.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= 128:
        raise ProblemError(
            400, "model_missing", "model: a name of at most 128 characters is required"
        )
    if models and model not in models:
        raise ProblemError(
            403,
            "model_not_allowed",
            f"model {model!r} is not one of the template's models ({', '.join(models)}); set "
            "spec.agent.model of the session or models of the template",
        )
    if network is Network.NONE:
        _refuse_ways_out(request)
    return CallBody(model, request.get("stream") is True)


def _read(body: bytes) -> dict[str, Any]:
    if sum(body.count(mark) for mark in (b"[", b"{", b",")) > ELEMENTS_LIMIT:
        raise ProblemError(400, "body_invalid", "the body has too many elements")
    try:
        request = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ProblemError(400, "body_invalid", f"the body is not valid JSON: {error}") from None
    if not isinstance(request, dict):
        raise ProblemError(400, "body_invalid", "the body is not a JSON object")
    return request


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of two fields with one name we might check the one and the upstream obey the other.
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a field occurs twice in one object")
    return members


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _refuse_ways_out(request: Mapping[str, Any]) -> None:
    if request.get("mcp_servers"):
        raise _way_out("mcp_servers")
    for tool in _objects(request.get("tools")):
        kind = tool.get("type", "custom")
        if kind != "custom" and not (isinstance(kind, str) and kind.startswith(_CLIENT_TOOLS)):
            raise _way_out(f"the tool type {str(kind)[:64]!r}")
    blocks = [request.get("system"), *(m.get("content") for m in _objects(request.get("messages")))]
    while blocks:
        for block in _objects(blocks.pop()):
            source = block.get("source")
            if isinstance(source, dict) and source.get("type") == "url":
                raise _way_out("a source of type 'url'")
            # Tool results and documents hold blocks of their own.
            blocks.append(block.get("content"))
            if isinstance(source, dict):
                blocks.append(source.get("content"))


def _objects(value: object) -> Iterable[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _way_out(what: str) -> ProblemError:
    return ProblemError(
        403,
        "network_none",
        f"{what} makes the model's provider reach the network, which the template refuses "
        "(network: None)",
    )
