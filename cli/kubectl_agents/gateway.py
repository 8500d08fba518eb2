"""The terminal protocol over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import httpx
from pydantic import ValidationError

from agentsession_core.terminal import (
    PREFIX,
    Cancel,
    CancelReceipt,
    History,
    Last,
    MessageReceipt,
    New,
    NewReceipt,
    SendMessage,
    TerminalEvent,
)
from agentsession_core.wire import WireModel
from kubectl_agents.errors import Exit, PluginError
from kubectl_agents.kubectl import Kubectl
from kubectl_agents.sse import Frame, frames
from kubectl_agents.tunnel import TokenAuth, Tunnel, open_tunnel, request_token

M = TypeVar("M", bound=WireModel)
ANSWER_SECONDS: Final = 30.0
# The gateway says something every 15 s; without a byte the way there is dead.
SILENCE_SECONDS: Final = 45.0
TRIES: Final = 6
# A conversation waits longer than a single request: a gateway that restarts is back within a minute.
FOLLOW_TRIES: Final = 20
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 3.0
_BY_STATUS: Final = {
    401: Exit.NOT_ALLOWED,
    403: Exit.NOT_ALLOWED,
    404: Exit.NOT_FOUND,
    409: Exit.REFUSED,
    413: Exit.USAGE,
    422: Exit.USAGE,
    429: Exit.REFUSED,
    503: Exit.UNREACHABLE,
    504: Exit.TIMED_OUT,
}


class Gateway:
    """One session at the gateway. Every call raises PluginError."""

    def __init__(
        self,
        tunnel: Tunnel,
        client: httpx.Client,
        name: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._tunnel = tunnel
        self._client = client
        self._path = f"{PREFIX}/{name}"
        self._sleep = sleep

    def history(self) -> History:
        """The turns that are still known."""
        return self._call(History, "GET", "/history")

    def last(self) -> Last:
        """The newest finished turn."""
        return self._call(Last, "GET", "/last")

    def send(self, message_id: str, text: str) -> MessageReceipt:
        """Sends a message; tried again it stays one message."""
        try:
            message = SendMessage(id=message_id, text=text)
        except ValidationError as error:
            raise PluginError(
                Exit.USAGE, f"that is no message: {error.errors()[0]['msg']}", "make it shorter"
            ) from None
        return self._call(MessageReceipt, "POST", "/messages", message)

    def cancel(self, turn: str | None) -> CancelReceipt:
        """Stops a turn, or whichever runs."""
        return self._call(CancelReceipt, "POST", "/cancel", Cancel(turn=turn))

    def keep(self) -> None:
        """The session's idle time begins anew."""
        self._request("POST", "/keep")

    def new(self, wish_id: str) -> NewReceipt:
        """The next message begins a conversation."""
        return self._call(NewReceipt, "POST", "/new", New(id=wish_id))

    def events(self, after: str) -> Iterator[tuple[Frame, TerminalEvent]]:
        """Events after an id, for ever: a lost connection goes on where it was."""
        failures = 0
        while True:
            try:
                for frame in self._frames(after):
                    failures = 0
                    after = frame.id or after
                    event = _event(frame)
                    if event is not None:
                        yield frame, event
            except (httpx.TransportError, _AgainError) as error:
                failures += 1
                if failures >= FOLLOW_TRIES:
                    raise _unreachable(error) from None
                self._again(failures)

    @contextmanager
    def stream(self, path: str, read_seconds: float) -> Iterator[httpx.Response]:
        """A long answer. Raises PluginError, httpx.TransportError within the block."""
        timeout = httpx.Timeout(ANSWER_SECONDS, read=read_seconds)
        url = self._tunnel.url() + self._path + path
        with self._client.stream("GET", url, timeout=timeout) as response:
            if response.status_code != httpx.codes.OK:
                response.read()
                raise _refusal(response)
            yield response

    def _frames(self, after: str) -> Iterator[Frame]:
        try:
            with self.stream(f"/events?after={after}", SILENCE_SECONDS) as response:
                yield from frames(response.iter_lines())
        except PluginError as error:
            if error.code is Exit.UNREACHABLE:
                raise _AgainError(error.cause) from None
            raise

    def _call(self, model: type[M], method: str, path: str, body: WireModel | None = None) -> M:
        return _parsed(model, self._request(method, path, body))

    def _request(self, method: str, path: str, body: WireModel | None = None) -> httpx.Response:
        content = None if body is None else body.to_wire()
        failures = 0
        while True:
            try:
                url = self._tunnel.url() + self._path + path
                response = self._client.request(method, url, json=content)
            except (httpx.TransportError, PluginError) as error:
                if isinstance(error, PluginError) and error.code is not Exit.UNREACHABLE:
                    raise
                failures += 1
                if failures >= TRIES:
                    raise _unreachable(error) from None
                self._again(failures)
                continue
            if response.status_code in (502, 503) and failures < TRIES - 1:
                failures += 1
                self._sleep(_pause(failures))
                continue
            if response.is_success:
                return response
            raise _refusal(response)

    def _again(self, failures: int) -> None:
        self._sleep(_pause(failures))
        # The pod at its other end may be gone: a replica, an upgrade, a restart.
        self._tunnel.renew()


class _AgainError(Exception):
    """The gateway cannot do it now."""


@contextmanager
def connect(kubectl: Kubectl, name: str) -> Iterator[Gateway]:
    """The gateway of a session's namespace. Raises PluginError."""
    auth = TokenAuth(lambda: request_token(kubectl), time.monotonic)
    with (
        open_tunnel(kubectl) as tunnel,
        # No proxy of the environment: the way is a port of this machine.
        httpx.Client(auth=auth, timeout=ANSWER_SECONDS, trust_env=False) as client,
    ):
        yield Gateway(tunnel, client, name)


def _pause(failures: int) -> float:
    return min(FIRST_PAUSE_SECONDS * 2.0**failures, LONGEST_PAUSE_SECONDS)


def _event(frame: Frame) -> TerminalEvent | None:
    try:
        return TerminalEvent.model_validate_json(frame.data)
    except ValidationError:
        # A newer gateway's: what cannot be read is not shown.
        return None


def _parsed(model: type[M], response: httpx.Response) -> M:
    try:
        return model.model_validate_json(response.content)
    except ValidationError:
        raise PluginError(
            Exit.FAILED,
            "the gateway's answer cannot be read",
            "use a kubectl agents of the gateway's release",
        ) from None


def _refusal(response: httpx.Response) -> PluginError:
    code = _BY_STATUS.get(response.status_code, Exit.FAILED)
    try:
        problem: Any = response.json()
    except ValueError:
        problem = None
    if isinstance(problem, dict) and problem.get("code") == "no_such_route":
        return PluginError(
            Exit.FAILED,
            "the gateway does not know this request: it is of an older release",
            "upgrade the release",
        )
    if not isinstance(problem, dict) or "detail" not in problem:
        return PluginError(code, f"the gateway answered with status {response.status_code}")
    return PluginError(code, str(problem["detail"]), _next_step(code))


def _next_step(code: Exit) -> str:
    return {
        Exit.NOT_FOUND: "kubectl agents list shows what there is",
        Exit.NOT_ALLOWED: "see docs/kubectl-plugin.md#who-may-use-it",
        Exit.UNREACHABLE: "try again; kubectl get pods in the release's namespace shows its parts",
        Exit.TIMED_OUT: "kubectl agents why says what it waits for",
    }.get(code, "")


def _unreachable(error: Exception) -> PluginError:
    said = str(error) or type(error).__name__
    return PluginError(
        Exit.UNREACHABLE,
        f"the gateway cannot be reached: {said}",
        "see whether its pods run, and try again: nothing is sent twice",
    )
