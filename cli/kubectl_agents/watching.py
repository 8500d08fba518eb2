"""What an AgentSession's status says while somebody waits for it: one watch, no polling."""

from __future__ import annotations

import threading
from collections.abc import Callable

from kubectl_agents.kubectl import SESSIONS, Kubectl

_LINE = '{.status.phase}{"\\t"}{.status.conditions[?(@.type=="Ready")].message}{"\\n"}'


class StatusWatch:
    """Calls `tell` with each new state, e.g. `Starting: The pod is starting.`, until it is stopped."""

    def __init__(self, kubectl: Kubectl, name: str, tell: Callable[[str], None]) -> None:
        self._kubectl = kubectl
        self._name = name
        self._tell = tell
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it; what is told later is dropped."""
        self._stopped.set()

    def _watch(self) -> None:
        arguments = ("get", SESSIONS, self._name, "--watch", "-o", f"jsonpath={_LINE}")
        with self._kubectl.process(*arguments) as running:
            killer = threading.Thread(target=self._end, args=(running.terminate,), daemon=True)
            killer.start()
            for line in running.stdout or ():
                phase, _, message = line.strip().partition("\t")
                if self._stopped.is_set():
                    break
                if phase:
                    self._tell(f"{phase}: {message}" if message else phase)
            self._stopped.set()

    def _end(self, terminate: Callable[[], None]) -> None:
        self._stopped.wait()
        terminate()
