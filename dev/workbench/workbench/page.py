"""The chat page of the release, at a port of this machine while the release is there.

A process of its own keeps `kubectl port-forward` going, which ends whenever the page's pod does. The
lock on its file says that it lives: a process id alone could be somebody else's by now.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.clusters import Cluster
from workbench.console import WorkbenchError
from workbench.settings import Names

HOST = "127.0.0.1"
PORT = 8081
READY_SECONDS = 30.0
PAUSE_SECONDS = 1.0
# A cluster that is being restarted comes back within a minute; one that is gone has no page.
PATIENCE_SECONDS = 120.0
KEEP = (sys.executable, "-m", "workbench", "keep-page")


@dataclass(frozen=True)
class Page:
    """A page that is open: whose, where, and the process that keeps it so."""

    release: str
    namespace: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/"


def service_of(names: Names) -> str:
    """The Service behind the page."""
    return f"svc/{names.release}-telegram-server"


def open_page(folder: Path, names: Names, keep: Sequence[str] = KEEP) -> Page:
    """The release's page, opened unless it is open already.

    `folder` is where it is written down, `keep` the command of the process that keeps it open. Raises
    WorkbenchError.
    """
    found = read_page(folder)
    if found is not None and (found.release, found.namespace) != (names.release, names.namespace):
        close_page(folder)
        found = None
    if found is None:
        _start(folder, keep)
    return _wait_until_it_answers(folder)


def close_page(folder: Path) -> None:
    """Ends the process that keeps the page open, if there is one."""
    found = read_page(folder)
    if found is None:
        return
    # With its kubectl: both are in the session that was begun for them.
    os.killpg(os.getpgid(found.pid), signal.SIGTERM)
    deadline = time.monotonic() + READY_SECONDS
    while read_page(folder) is not None:
        if time.monotonic() > deadline:
            raise WorkbenchError(
                "the chat page's port-forward does not end", f"end process {found.pid} by hand"
            )
        time.sleep(0.05)


def read_page(folder: Path) -> Page | None:
    """What keeps the page open now."""
    try:
        with _file(folder).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        text = _file(folder).read_text()
        return Page(**json.loads(text)) if text else None
    return None


def forward_page(folder: Path, cluster: Cluster, names: Names) -> None:
    """Keeps the page open until the release or the cluster is gone."""
    port = usable_port(PORT)
    with _locked(folder, Page(names.release, names.namespace, port, os.getpid())):
        missed_since: float | None = None
        while missed_since is None or time.monotonic() - missed_since < PATIENCE_SECONDS:
            _forward_once(cluster, names, port)
            try:
                there = cluster.kubectl(
                    *("get", service_of(names), "-n", names.namespace, "-o", "name"),
                    *("--ignore-not-found", "--request-timeout=5s"),
                )
            except WorkbenchError:
                missed_since = missed_since or time.monotonic()
            else:
                if not there.strip():
                    return
                missed_since = None
            time.sleep(PAUSE_SECONDS)


def _forward_once(cluster: Cluster, names: Names, port: int) -> None:
    command = [cluster.tool("kubectl"), "-n", names.namespace, "port-forward"]
    subprocess.run(
        [*command, f"--address={HOST}", service_of(names), f"{port}:8081"],
        env={**os.environ, **cluster.environment()},
        check=False,
    )


def _start(folder: Path, keep: Sequence[str]) -> None:
    # The shell ends at once: whoever called us must be able to end, too, and waits for no child.
    with (folder / "chat-page.log").open("wb") as log:
        subprocess.run(
            ["sh", "-c", '"$@" &', "sh", *keep],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=True,
        )


def _wait_until_it_answers(folder: Path) -> Page:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        found = read_page(folder)
        if found is not None and _answers(f"{found.url}healthz"):
            return found
        time.sleep(0.1)
    log = folder / "chat-page.log"
    raise WorkbenchError(
        f"the chat page does not answer within {READY_SECONDS:.0f} s",
        f"{log} says why; make demo tries again",
        log.read_text()[-2000:] if log.exists() else "",
    )


def _answers(url: str) -> bool:
    # No proxy: the page is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def usable_port(usual: int) -> int:
    """The usual port, any other if somebody has it. Raises WorkbenchError."""
    for wanted in (usual, 0):
        try:
            with socket.create_server((HOST, wanted)) as listener:
                port: int = listener.getsockname()[1]
                return port
        except OSError:
            continue
    raise WorkbenchError(f"no port is free on {HOST}")


def _file(folder: Path) -> Path:
    return folder / "chat-page.json"


@contextmanager
def _locked(folder: Path, page: Page) -> Iterator[None]:
    with _file(folder).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WorkbenchError("the chat page is kept open by another process") from error
        file.truncate(0)
        file.write(json.dumps(asdict(page)))
        file.flush()
        yield
