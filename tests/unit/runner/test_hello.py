from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentsession_runner.config import RunnerConfig, read_config
from agentsession_runner.hello import (
    Effects,
    GatewayUnreachableError,
    HelloRefusedError,
    refusal_text,
    say_hello,
)

WELCOME = {"protocol": 1, "run": "uid/1"}


class Gateway:
    """Answers each connection with the next of its answers; None closes without a word."""

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.requests.append(connection.recv(65536))
                answer = self.answers.pop(0)
                if answer is not None:
                    connection.sendall(answer)


class World:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.imports = 0
        self.said: list[str] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def count_import(self) -> None:
        self.imports += 1

    def hello(self, config: RunnerConfig) -> dict[str, object]:
        effects = Effects(lambda: self.now, self.sleep, lambda: 0.5)
        return say_hello(config, effects, self.count_import, self.said.append)


def answer(status: int, content: object) -> bytes:
    body = json.dumps(content).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    yield gateway
    gateway.close()


@pytest.fixture
def config(gateway: Gateway, tmp_path: Path) -> RunnerConfig:
    (tmp_path / "token").write_text("the-token\n")
    return read_config(
        {
            "AGENTSESSION_GATEWAY_URL": f"http://127.0.0.1:{gateway.port}",
            "AGENT_TYPE": "claude-code",
            "AGENTSESSION_TOKEN_FILE": str(tmp_path / "token"),
            "AGENTSESSION_CLI_VERSION": "2.1.330",
        }
    )


def test_hello(gateway: Gateway, config: RunnerConfig) -> None:
    gateway.answers = [answer(200, WELCOME)]
    world = World()
    assert world.hello(config) == WELCOME
    assert world.imports == 1
    assert b"Authorization: Bearer the-token" in gateway.requests[0]
    sent = json.loads(gateway.requests[0].partition(b"\r\n\r\n")[2])
    assert sent == {"protocol": 1, "agentType": "claude-code", "cliVersion": "2.1.330"}


def test_troubles_are_tried_again_with_growing_pauses(
    gateway: Gateway, config: RunnerConfig
) -> None:
    busy = answer(503, {"detail": "redis is away"})
    gateway.answers = [None, busy, answer(429, {}), b"nonsense\r\n\r\n", answer(200, WELCOME)]
    world = World()
    assert world.hello(config) == WELCOME
    assert world.pauses == [0.05, 0.1, 0.2, 0.4]
    assert "redis is away" in world.said[1]


def test_after_a_minute_it_gives_up_and_names_the_last_cause(
    gateway: Gateway, config: RunnerConfig
) -> None:
    gateway.answers = [answer(503, {"detail": "redis is away"})] * 100
    world = World()
    with pytest.raises(GatewayUnreachableError, match=r"60 s; the last try: status 503: redis"):
        world.hello(config)
    assert 60 < world.now < 70


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_a_refusal_is_not_tried_again(gateway: Gateway, config: RunnerConfig, status: int) -> None:
    gateway.answers = [answer(status, {"detail": "no"})]
    world = World()
    with pytest.raises(HelloRefusedError, match=f"status {status}: no"):
        world.hello(config)
    assert world.pauses == []


@pytest.mark.parametrize("content", [[], {"protocol": 2}, {}, "x"])
def test_another_protocol_is_said_clearly(
    gateway: Gateway, config: RunnerConfig, content: object
) -> None:
    gateway.answers = [answer(200, content)]
    with pytest.raises(HelloRefusedError, match=r"protocol|no JSON object"):
        World().hello(config)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "no reason given"),
        (b"<html>\n bad\n gateway", "<html> bad gateway"),
        (b'{"title": "Forbidden", "detail": "not\\n current"}', "not current"),
        (b'{"detail": [{"loc": "x"}]}', '[{"loc": "x"}]'),
        (b"x" * 1000, "x" * 300),
        (b"\xff", "\ufffd"),
    ],
)
def test_reasons(body: bytes, text: str) -> None:
    assert refusal_text(body) == text
