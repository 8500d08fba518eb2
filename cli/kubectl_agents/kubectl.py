"""kubectl as a child process: it knows its user's every login, proxy and kubeconfig."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kubectl_agents.errors import Exit, PluginError

SESSIONS = "agentsessions.agentsession.dev"
_UNREACHABLE = re.compile(
    r"was refused|no such host|i/o timeout|network is unreachable|unable to connect|TLS handshake|"
    r"deadline exceeded|no route to host|connection reset",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"must be logged in|unauthorized|provide credentials", re.IGNORECASE)
_NO_CONTEXT = re.compile(
    r"context was not found|context .* does not exist|no such file", re.IGNORECASE
)
_NO_KIND = re.compile(r"doesn't have a resource type|no matches for kind", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """Which cluster and namespace, in kubectl's own words; empty is kubectl's default."""

    namespace: str = ""
    context: str = ""
    kubeconfig: str = ""

    def flags(self) -> list[str]:
        """The flags that say so."""
        named = (
            ("--namespace", self.namespace),
            ("--context", self.context),
            ("--kubeconfig", self.kubeconfig),
        )
        return [f"{flag}={value}" for flag, value in named if value]


class Kubectl:
    """Runs kubectl. Every call raises PluginError."""

    def __init__(self, target: Target, program: str | None = None) -> None:
        found = program or shutil.which("kubectl")
        if found is None:
            raise PluginError(
                Exit.UNREACHABLE, "kubectl is not on PATH", "install kubectl, or add it to PATH"
            )
        self._program = found
        self.target = target

    def command(self, *arguments: str) -> list[str]:
        """The whole command line. Nothing secret ever is in it."""
        return [self._program, *self.target.flags(), *arguments]

    def run(self, *arguments: str) -> str:
        """Standard output."""
        done = subprocess.run(  # noqa: S603 - kubectl, with arguments of our own
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise failure(done.stderr)
        return done.stdout

    def read(self, *arguments: str) -> dict[str, Any]:
        """The JSON object that kubectl answers with."""
        answer = json.loads(self.run(arguments[0], "--output=json", *arguments[1:]))
        return answer if isinstance(answer, dict) else {}

    def session(self, name: str) -> dict[str, Any]:
        """The AgentSession."""
        return self.read("get", SESSIONS, "--", name)

    def sessions(self) -> list[dict[str, Any]]:
        """All AgentSessions of the namespace."""
        return list(self.read("get", SESSIONS).get("items") or ())

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events about the session, newest last."""
        about = f"involvedObject.kind=AgentSession,involvedObject.name={name}"
        found = list(self.read("get", "events", f"--field-selector={about}").get("items") or ())
        return sorted(found, key=lambda event: str(event.get("lastTimestamp") or ""))

    def namespace(self) -> str:
        """The namespace in use."""
        if self.target.namespace:
            return self.target.namespace
        view = self.run("config", "view", "--minify", "-o", "jsonpath={..namespace}")
        return view.strip() or "default"

    def patch(self, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Changes the session's spec; answers the session."""
        change = json.dumps({"spec": spec})
        return self.read("patch", SESSIONS, "--type=merge", f"--patch={change}", "--", name)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A kubectl that runs on, to be ended by `stop`."""
        # A group of its own: ctrl-c at the terminal is ours to answer, not its end.
        return subprocess.Popen(  # noqa: S603 - kubectl, with arguments of our own
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    @contextmanager
    def process(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A kubectl that runs on within the block."""
        running = self.start(*arguments)
        try:
            yield running
        finally:
            stop(running)
            for pipe in (running.stdout, running.stderr):
                if pipe is not None:
                    pipe.close()


def stop(running: subprocess.Popen[str]) -> None:
    """Ends a kubectl, by force if it does not leave within 5 s."""
    running.terminate()
    try:
        running.wait(timeout=5)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()


def failure(said: str) -> PluginError:
    """kubectl's complaint as an error with a next step."""
    cause = _last_line(said)
    if "(NotFound)" in said:
        return PluginError(Exit.NOT_FOUND, cause, "kubectl agents list shows what there is")
    if _NO_KIND.search(said):
        return PluginError(
            Exit.NOT_FOUND,
            "this cluster does not know AgentSessions",
            "install the release (docs/install.md), or name another cluster with --context",
        )
    if _LOGIN.search(said):
        return PluginError(
            Exit.NOT_ALLOWED, cause, "log in to the cluster, or name another --context"
        )
    if "(Forbidden)" in said or "forbidden" in said:
        return PluginError(
            Exit.NOT_ALLOWED,
            cause,
            "ask for Role <release>-terminal-user (docs/kubectl-plugin.md#who-may-use-it)",
        )
    if _UNREACHABLE.search(said):
        return PluginError(
            Exit.UNREACHABLE, cause, "see whether kubectl get namespaces works, and --context"
        )
    if _NO_CONTEXT.search(said):
        return PluginError(
            Exit.USAGE, cause, "kubectl config get-contexts shows what --context may name"
        )
    if "(Conflict)" in said or "(Invalid)" in said:
        return PluginError(Exit.REFUSED, cause, "look at the session and try again")
    return PluginError(Exit.FAILED, cause, "kubectl's own words; try the same with kubectl")


def _last_line(said: str) -> str:
    lines: Sequence[str] = [line.strip() for line in said.splitlines() if line.strip()]
    line = lines[-1] if lines else "kubectl failed without a word"
    for prefix in ("Error from server ", "error: ", "Error: "):
        line = line.removeprefix(prefix)
    return re.sub(r"^\((\w+)\): ", "", line)
