"""The first exchange, blocking and with few imports: it is on the way of every cold start."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

from agentsession_runner.config import GatewayAddress, RunnerConfig, read_token
from agentsession_runner.http1 import HttpError, ResponseReader, request_bytes

PROTOCOL = 1
DEADLINE_SECONDS = 60.0
ANSWER_TIMEOUT_SECONDS = 15.0
FIRST_CONNECT_TIMEOUT_SECONDS = 1.0
LONGEST_CONNECT_TIMEOUT_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0
TOO_MANY_REQUESTS = 429
# Beyond it the gateway takes no figure; a machine that slept has made it up.
LONGEST_UPTIME_SECONDS = 86_400.0


class HelloRefusedError(Exception):
    """The gateway does not want this runner; trying again would not help."""


class GatewayUnreachableError(Exception):
    """No answer from the gateway within the deadline."""


class Effects:
    """The outside world as the first exchange needs it. Times are seconds.

    `uptime` says how long ago the process began, or None.
    """

    __slots__ = ("jitter", "monotonic", "sleep", "uptime")

    def __init__(
        self,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
        jitter: Callable[[], float],
        uptime: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.monotonic = monotonic
        self.sleep = sleep
        self.jitter = jitter
        self.uptime = uptime


def hello_body(config: RunnerConfig, uptime: float | None = None) -> dict[str, object]:
    """The `Hello` of the runner protocol."""
    body: dict[str, object] = {
        "protocol": PROTOCOL,
        "agentType": config.agent_type,
        "cliVersion": config.cli_version,
    }
    if uptime is not None and 0 <= uptime <= LONGEST_UPTIME_SECONDS:
        body["uptimeSeconds"] = round(uptime, 3)
    return body


def say_hello(
    config: RunnerConfig,
    effects: Effects,
    while_waiting: Callable[[], None],
    report: Callable[[str], None],
) -> dict[str, object]:
    """Say hello until the gateway answers; returns its `Welcome` as it came.

    `while_waiting` runs once, between the first request and its answer.

    Raises:
        HelloRefusedError: an answer that another try would not change.
        GatewayUnreachableError: no usable answer within 60 s.
    """
    started = effects.monotonic()
    pause = FIRST_PAUSE_SECONDS
    connect_timeout = FIRST_CONNECT_TIMEOUT_SECONDS
    while True:
        body = json.dumps(hello_body(config, effects.uptime())).encode()
        try:
            status, answer = _exchange(config, body, connect_timeout, while_waiting)
            if status == 200:
                return _welcome(answer)
            problem = f"status {status}: {refusal_text(answer)}"
            if not is_temporary(status):
                raise HelloRefusedError(f"the gateway refused this run's hello with {problem}")
        except (OSError, HttpError) as error:
            problem = str(error) or type(error).__name__
        if effects.monotonic() - started > DEADLINE_SECONDS:
            raise GatewayUnreachableError(
                f"the gateway at {config.gateway.url} did not answer hello within "
                f"{DEADLINE_SECONDS:.0f} s; the last try: {problem}"
            )
        report(f"hello: {problem}; trying again")
        effects.sleep(pause * (0.5 + effects.jitter()))
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        connect_timeout = min(connect_timeout * 2, LONGEST_CONNECT_TIMEOUT_SECONDS)


def is_temporary(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status >= 500 or status == TOO_MANY_REQUESTS


def refusal_text(answer: bytes) -> str:
    """The reason in an error answer, in at most 300 characters."""
    text = answer.decode("utf-8", "replace")
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if isinstance(content, dict):
        reason = next(
            (content[key] for key in ("detail", "message", "title") if key in content), ""
        )
        text = reason if isinstance(reason, str) else json.dumps(reason)
    return " ".join(text.split())[:300] or "no reason given"


def _exchange(
    config: RunnerConfig,
    body: bytes,
    connect_timeout: float,
    while_waiting: Callable[[], None],
) -> tuple[int, bytes]:
    token = read_token(config.token_file)
    request = request_bytes(config.gateway, "POST", "/v1/runner/hello", token, body)
    with _connect(config.gateway, connect_timeout) as connection:
        connection.sendall(request)
        while_waiting()
        connection.settimeout(ANSWER_TIMEOUT_SECONDS)
        reader = ResponseReader()
        while not reader.complete:
            data = connection.recv(256 * 1024)
            if data:
                reader.feed(data)
            else:
                reader.end_of_input()
    return reader.status or 0, reader.take_body()


def _connect(gateway: GatewayAddress, timeout: float) -> socket.socket:
    connection = socket.create_connection((gateway.host, gateway.port), timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _welcome(answer: bytes) -> dict[str, object]:
    try:
        welcome = json.loads(answer)
    except ValueError:
        welcome = None
    if not isinstance(welcome, dict):
        raise HelloRefusedError(
            "the gateway's answer to hello is no JSON object: is the URL the gateway's?"
        )
    protocol = welcome.get("protocol")
    if protocol != PROTOCOL:
        raise HelloRefusedError(
            f"this runner speaks protocol {PROTOCOL}, the gateway answered with {protocol!r}: "
            "use an agent image of the same release as the gateway"
        )
    return welcome
