"""What of a model call is let through."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentsession_core.api import Network
from agentsession_core.problems import ProblemError
from agentsession_gateway.allowlist import (
    ELEMENTS_LIMIT,
    CallBody,
    answer_headers,
    inspect_body,
    is_allowed,
    upstream_headers,
)


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [], **fields}).encode()


def code_of(raw: bytes, *models: str, network: Network = Network.INTERNET) -> str:
    with pytest.raises(ProblemError) as refused:
        inspect_body(raw, models, network)
    return refused.value.code


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/messages", True),
        ("POST", "/v1/messages/count_tokens", True),
        ("GET", "/v1/models", True),
        ("HEAD", "/v1/models", False),
        ("GET", "/v1/messages", False),
        ("POST", "/v1/messages/", False),
        ("POST", "/v1/messages/../files", False),
        ("POST", "//v1/messages", False),
        ("POST", "", False),
    ],
)
def test_calls(method: str, path: str, allowed: bool) -> None:
    assert is_allowed(method, path) is allowed


def test_headers_upstream() -> None:
    headers = upstream_headers(
        {
            "authorization": "Bearer token",
            "x-api-key": "token",
            "anthropic-version": "v",
            "accept-encoding": "gzip, br",
            "host": "gateway",
            "content-length": "3",
            "proxy-authorization": "x",
            "user-agent": "claude-cli",
        },
        {"x-api-key": "key"},
    )
    assert headers == {
        "anthropic-version": "v",
        "user-agent": "claude-cli",
        "x-api-key": "key",
        "accept-encoding": "identity",
    }


@pytest.mark.parametrize(
    ("given", "expected"), [({}, "oauth"), ({"anthropic-beta": "a,b"}, "a,b,oauth")]
)
def test_the_credentials_beta_is_added(given: dict[str, str], expected: str) -> None:
    credentials = {"authorization": "Bearer t", "anthropic-beta": "oauth"}
    assert upstream_headers(given, credentials)["anthropic-beta"] == expected


def test_headers_back() -> None:
    headers = {"content-type": "a", "set-cookie": "b", "anthropic-organization-id": "c"}
    assert answer_headers(200, headers, None) == {"content-type": "a"}
    assert answer_headers(529, headers, None) == {"content-type": "a"}


def test_a_wrong_key_is_not_tried_again() -> None:
    again, never = {"x-should-retry": "true"}, {"x-should-retry": "false"}
    assert answer_headers(401, {}, None) == never
    assert answer_headers(401, again, None) == never
    assert answer_headers(500, again, None) == again


def test_only_a_short_wait_is_passed_on() -> None:
    assert answer_headers(429, {"retry-after": "30"}, 30.0) == {"retry-after": "30"}
    # The CLI would sleep for an hour and nobody would know why.
    assert answer_headers(429, {"retry-after": "3600"}, 3600.0) == {"x-should-retry": "false"}
    assert answer_headers(429, {"retry-after": "soon"}, None) == {}


def test_a_plain_call() -> None:
    assert inspect_body(body(), (), Network.NONE) == CallBody("m", False)
    assert inspect_body(body(stream=True), ("m", "n"), Network.NONE) == CallBody("m", True)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"model": "m"} {}',
        b'\xef\xbb\xbf{"model": "m"}',
        '{"model": "m"}'.encode("utf-16"),
        b'{"model": "\xff"}',
        b'{"model": "m", "x": NaN}',
        b"[" * 200_000,
        b'{"model":"m","x":[' + b"[]," * (ELEMENTS_LIMIT // 2) + b"[]]}",
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_no_valid_json(raw: bytes) -> None:
    assert code_of(raw) == "body_invalid"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model": "allowed", "model": "other"}',
        b'{"model": "allowed", "mod\\u0065l": "other"}',
        b'{"model": "allowed", "tools": [{"type": "custom", "type": "web_search_1"}]}',
    ],
)
def test_a_field_given_twice_could_be_read_in_two_ways(raw: bytes) -> None:
    assert code_of(raw, "allowed", network=Network.NONE) == "body_invalid"


@pytest.mark.parametrize("model", [None, 3, "", "x" * 129, ["m"]])
def test_a_model_is_required(model: object) -> None:
    assert code_of(body(model=model)) == "model_missing"


def test_a_model_outside_the_templates_list() -> None:
    assert code_of(body(), "other", "another") == "model_not_allowed"


@pytest.mark.parametrize(
    "tool",
    [
        {"name": "Bash", "input_schema": {}},
        {"type": "custom", "name": "web_search"},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "text_editor_20250728", "name": "edit"},
        {"type": "memory_20250818", "name": "memory"},
        {"type": "tool_search_tool_regex_20251119", "name": "search"},
    ],
)
def test_network_none_leaves_the_clis_own_tools(tool: dict[str, Any]) -> None:
    assert inspect_body(body(tools=[tool]), (), Network.NONE).model == "m"


URL_SOURCE = {"type": "image", "source": {"type": "url", "url": "https://example.com/?secret"}}


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [{"name": "Bash"}, {"type": "web_fetch_20250910", "name": "f"}]},
        {"tools": [{"type": "code_execution_20250825", "name": "c"}]},
        {"tools": [{"type": "mcp_toolset", "mcp_server_name": "s"}]},
        {"tools": [{"type": "something_new_20270101", "name": "n"}]},
        {"tools": [{"type": None, "name": "n"}]},
        {"mcp_servers": [{"type": "url", "url": "https://example.com"}]},
        {"mcp_servers": {"a": 1}},
        {"messages": [{"role": "user", "content": [URL_SOURCE]}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "tool_result", "content": [URL_SOURCE]}]}
            ]
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "document", "source": {"type": "content", "content": [URL_SOURCE]}}
                    ],
                }
            ]
        },
        {"system": [URL_SOURCE]},
    ],
    ids=lambda fields: json.dumps(fields)[:60],
)
def test_network_none_refuses_what_leads_out(fields: dict[str, Any]) -> None:
    assert code_of(body(**fields), network=Network.NONE) == "network_none"
    assert inspect_body(body(**fields), (), Network.INTERNET).model == "m"


def test_network_none_reads_words_not_meanings() -> None:
    messages = [
        {"role": "user", "content": "web_search mcp_servers"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": '{"source": {"type": "url"}}'},
                {"type": "image", "source": {"type": "base64", "data": "AAAA"}},
                {"type": "tool_use", "input": {"source": {"type": "url"}}},
            ],
        },
    ]
    assert inspect_body(body(messages=messages), (), Network.NONE).model == "m"
