"""The way to the gateway: kubectl port-forward, and a token that names the sessions' namespace."""

from __future__ import annotations

import queue
import re
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import httpx

from agentsession_core.naming import (
    ANNOTATION_GATEWAY,
    AUDIENCE_TERMINAL,
    CLI_SERVICE_ACCOUNT,
)
from kubectl_agents.errors import Exit, PluginError
from kubectl_agents.kubectl import Kubectl, failure, stop

# The shortest life that TokenRequest grants.
TOKEN_SECONDS: Final = 600
# Renewed well before its end: a long upload must not outlive it.
TOKEN_USED_SECONDS: Final = 420.0
FORWARD_SECONDS: Final = 20.0
GATEWAY_PORT: Final = 8080
_FORWARDING: Final = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) -> \d+")
_PLACE: Final = re.compile(r"([a-z0-9][-a-z0-9]{0,62})/([a-z0-9][-a-z0-9]{0,62})")


@dataclass(frozen=True)
class Place:
    """The gateway's Service."""

    namespace: str
    service: str


def find_gateway(kubectl: Kubectl) -> Place:
    """Where the sessions' ServiceAccount says the gateway is. Raises PluginError."""
    try:
        account = kubectl.read("get", "serviceaccount", CLI_SERVICE_ACCOUNT)
    except PluginError as error:
        if error.code is not Exit.NOT_FOUND:
            raise
        raise PluginError(
            Exit.NOT_FOUND,
            f"namespace {kubectl.namespace()} has no ServiceAccount {CLI_SERVICE_ACCOUNT}: no release "
            "has its sessions there, or one older than kubectl agents",
            "name the sessions' namespace with -n, or upgrade the release",
        ) from None
    annotations = account.get("metadata", {}).get("annotations") or {}
    match = _PLACE.fullmatch(str(annotations.get(ANNOTATION_GATEWAY, "")))
    if match is None:
        raise PluginError(
            Exit.NOT_FOUND,
            f"ServiceAccount {CLI_SERVICE_ACCOUNT} does not say where the gateway is "
            f"(annotation {ANNOTATION_GATEWAY})",
            "upgrade the release with its chart",
        )
    return Place(match.group(1), match.group(2))


class TokenAuth(httpx.Auth):
    """A short-lived token in each request, asked for anew before its end and after a 401."""

    def __init__(self, request_token: Callable[[], str], clock: Callable[[], float]) -> None:
        self._request_token = request_token
        self._clock = clock
        self._token: str | None = None
        self._since = 0.0

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Sends the request, once more with another token if the first is refused."""
        asked = self._renew(force=False)
        request.headers["authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED and not asked:
            self._renew(force=True)
            request.headers["authorization"] = f"Bearer {self._token}"
            yield request

    def _renew(self, *, force: bool) -> bool:
        now = self._clock()
        if self._token is not None and not force and now - self._since < TOKEN_USED_SECONDS:
            return False
        self._token = self._request_token()
        self._since = now
        return True


def request_token(kubectl: Kubectl) -> str:
    """A token for the sessions of the namespace. Raises PluginError."""
    return kubectl.run(
        "create",
        "token",
        CLI_SERVICE_ACCOUNT,
        f"--audience={AUDIENCE_TERMINAL}",
        f"--duration={TOKEN_SECONDS}s",
    ).strip()


class Tunnel:
    """A port of this machine that leads to the gateway, opened again when its pod goes."""

    def __init__(self, kubectl: Kubectl, place: Place) -> None:
        self._kubectl = kubectl
        self._place = place
        self._process: subprocess.Popen[str] | None = None
        self._port = 0
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether kubectl still forwards."""
        return self._process is not None and self._process.poll() is None

    def url(self) -> str:
        """Where the gateway is now. Raises PluginError when no way there can be opened."""
        with self._lock:
            if not self.is_open:
                self._close()
                self._open()
            return f"http://127.0.0.1:{self._port}"

    def renew(self) -> None:
        """The way leads nowhere any more: the next `url` opens another."""
        with self._lock:
            self._close()

    def _open(self) -> None:
        self._process = self._kubectl.start(
            f"--namespace={self._place.namespace}",
            "port-forward",
            "--address=127.0.0.1",
            f"service/{self._place.service}",
            f":{GATEWAY_PORT}",
        )
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        errors: list[str] = []
        out, err = self._process.stdout, self._process.stderr
        threading.Thread(target=_pump, args=(out, lines.put), daemon=True).start()
        told = threading.Thread(target=_pump, args=(err, errors.append), daemon=True)
        told.start()
        try:
            line = lines.get(timeout=FORWARD_SECONDS)
        except queue.Empty:
            self._close()
            raise PluginError(
                Exit.UNREACHABLE,
                f"kubectl port-forward said nothing for {FORWARD_SECONDS:.0f} s",
                f"see whether the gateway runs: kubectl -n {self._place.namespace} get pods",
            ) from None
        match = _FORWARDING.match(line or "")
        if match is None:
            told.join(timeout=2)
            self._close()
            raise _not_forwarded(self._place, "".join(part for part in errors if part))
        self._port = int(match.group(1))

    def _close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            stop(process)


def _not_forwarded(place: Place, said: str) -> PluginError:
    error = failure(said)
    if error.code is Exit.NOT_FOUND:
        return PluginError(
            Exit.NOT_FOUND,
            f"there is no Service {place.namespace}/{place.service}",
            "install or upgrade the release",
        )
    if error.code is Exit.FAILED:
        # A Service without a running pod, mostly.
        return PluginError(
            Exit.UNREACHABLE,
            f"no way to the gateway: {error.cause}",
            f"see whether it runs: kubectl -n {place.namespace} get pods",
        )
    return error


def _pump(pipe: object, take: Callable[[str | None], None]) -> None:
    """Reads a pipe to its end: kubectl would stop at a full one."""
    # It is closed under the reader when the process is stopped.
    with suppress(ValueError):
        for line in pipe:  # type: ignore[attr-defined]
            take(line)
    take(None)


@contextmanager
def open_tunnel(kubectl: Kubectl) -> Iterator[Tunnel]:
    """A tunnel to the gateway of the sessions' namespace. Raises PluginError."""
    tunnel = Tunnel(kubectl, find_gateway(kubectl))
    try:
        yield tunnel
    finally:
        tunnel.renew()
