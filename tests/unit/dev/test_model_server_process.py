"""The server on a real socket: streaming, broken connections, waiting, the command line."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from agentsession_dev.model_server.__main__ import main, read_keys
from agentsession_dev.model_server.rules import parse_rules
from agentsession_dev.model_server.server import demo_rules, serve_in_thread

HEADERS = {"x-api-key": "any", "anthropic-version": "2023-06-01"}
SLOW_RULES = b"""{"rules": [
  {"name": "slow", "match": {"text": "slow"},
   "steps": [{"say": "one two three", "fail": {"stall_mid": 600}}]},
  {"name": "late", "match": {"text": "late"},
   "steps": [{"say": "x", "fail": {"stall_before": 600}}]},
  {"name": "cut", "match": {"text": "cut"},
   "steps": [{"say": "one two three", "fail": {"cut_mid": true}}]},
  {"name": "reset", "match": {"text": "reset"}, "steps": [{"fail": {"reset": true}}]},
  {"name": "echo", "steps": [{"say": "{{ last_user_text }}"}]}
]}"""


@pytest.fixture
def url() -> Iterator[str]:
    with serve_in_thread(rules=parse_rules(SLOW_RULES), any_key=True) as base_url:
        yield base_url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=HEADERS, timeout=30) as found:
        yield found


def body(text: str, *, stream: bool = True) -> dict[str, Any]:
    message = {"role": "user", "content": text}
    return {"model": "m", "max_tokens": 50, "messages": [message], "stream": stream}


def answered(client: httpx.Client, after: int = 0) -> dict[str, Any]:
    """Wait for the next request that has ended and return its record."""
    query = {"after": after, "wait": 20, "answered": True}
    found = client.get("/_control/requests", params=query).json()["requests"]
    assert found, "no request ended within 20 s"
    record: dict[str, Any] = found[0]
    return record


def test_stream_arrives_while_the_answer_is_still_going_on(client: httpx.Client) -> None:
    with client.stream("POST", "/v1/messages", json=body("slow")) as response:
        received = ""
        for chunk in response.iter_text():
            received += chunk
            if '"two "' in received:
                break
        assert '"three"' not in received
    # Leaving ends the stalled answer on the server too, long before its 600 s.
    assert answered(client)["outcome"] == "client_gone"


def test_stall_before_the_first_byte_ends_with_the_client(client: httpx.Client) -> None:
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v1/messages", json=body("late"), timeout=0.3)
    record = answered(client)
    assert (record["status"], record["outcome"]) == (None, "client_gone")


@pytest.mark.parametrize("stream", [True, False])
def test_cut_ends_the_connection_in_the_middle(client: httpx.Client, stream: bool) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/v1/messages", json=body("cut", stream=stream))
    assert answered(client)["outcome"] == "cut"


def test_reset_is_a_reset(client: httpx.Client) -> None:
    with pytest.raises(httpx.ReadError) as caught:
        client.post("/v1/messages", json=body("reset"))
    assert "reset" in str(caught.value).lower()
    record = answered(client)
    assert (record["status"], record["outcome"]) == (None, "reset")
    assert client.post("/v1/messages", json=body("next")).status_code == 200


def test_a_waiting_call_is_told_at_once(client: httpx.Client, url: str) -> None:
    client.get("/v1/models")
    with (
        ThreadPoolExecutor(1) as pool,
        httpx.Client(base_url=url, timeout=60) as watcher,
    ):
        path = "/_control/requests?after=1&wait=50&kind=main"
        waiting = pool.submit(watcher.get, path)
        before = time.time()
        client.post("/v1/messages", json=body("now"))
        found = waiting.result(timeout=20).json()["requests"]
    assert [record["user_texts"] for record in found] == [["now"]]
    assert before <= found[0]["received_at"] <= time.time()


def test_two_servers_do_not_share_anything(client: httpx.Client) -> None:
    with (
        serve_in_thread(rules=demo_rules(), api_keys=frozenset({"k"})) as other,
        httpx.Client(base_url=other, headers=HEADERS) as second,
    ):
        assert second.post("/v1/messages", json=body("hi")).status_code == 401
        assert client.post("/v1/messages", json=body("hi")).status_code == 200
        assert client.get("/_control/requests").json()["last"] == 1


def test_keys_come_from_the_environment_and_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("first\n\n  second  \n")
    assert read_keys("third", file) == {"first", "second", "third"}
    assert read_keys(None, None) == frozenset()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no API key is configured: set MODEL_SERVER_API_KEY or --api-key-file"),
        (["--api-key-file", "none"], "--api-key-file none: No such file"),
        (["--any-key", "--rules", "none.json"], "none.json: No such file"),
        (["--port", "70000"], "--port"),
    ],
)
def test_wrong_start_says_why(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODEL_SERVER_API_KEY", raising=False)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code != 0
    assert message in result.output


def test_port_in_use_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_SERVER_API_KEY", "k")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
        result = CliRunner().invoke(main, arguments)
    assert result.exit_code != 0
