"""Memory of the release's parts and of one agent, when nothing happens and after the figures."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentsession_core import naming
from workbench.bench.context import Context
from workbench.bench.figures import Figure, Section, Unit
from workbench.bench.processes import MEMORY_PROGRAM, Memory, read_memory
from workbench.bench.sessions import Session

MEBIBYTE = 1024 * 1024
# Component (its container has the same name) and the programs that its process may be called.
PARTS = {
    "operator": ("agentsession-op", "python3"),
    "gateway": ("agentsession-ga", "python3"),
    "redis": ("valkey-server", "redis-server"),
}
AGENT_PROGRAMS = {"runner": "python3", "agent CLI": "claude"}


@dataclass
class MemoryLog:
    """Bytes by what they were measured of, in the order of measuring."""

    rows: dict[str, float] = field(default_factory=dict)

    def parts(self, context: Context, when: str) -> None:
        """Measures operator, gateway and Redis. Raises WorkbenchError."""
        for component, programs in PARTS.items():
            pod = context.ground.component_pod(component)
            namespace, name = context.ground.names.namespace, pod["metadata"]["name"]
            memory = _measure(context, namespace, name, component)
            self._note(f"{component}, {when}", memory, programs)

    def agent(self, context: Context, session: Session, when: str) -> None:
        """Measures a session's pod: runner, CLI and the whole. Raises WorkbenchError."""
        pod = session.wait_running_pod()
        memory = _measure(context, context.ground.namespace, pod, naming.RUNNER_CONTAINER)
        for title, program in AGENT_PROGRAMS.items():
            if program in memory.resident:
                self.rows[f"{title}, {when}: resident"] = memory.resident[program]
        if memory.working_set is not None:
            self.rows[f"run pod, {when}: working set"] = memory.working_set

    def section(self) -> Section:
        """The rows as figures."""
        return Section(
            "Memory",
            tuple(
                Figure(f"memory.{title}", title, Unit.MEBIBYTES, (size / MEBIBYTE,))
                for title, size in self.rows.items()
            ),
            (
                "Resident is VmRSS of the process, shared file pages included; working set is what "
                "Kubernetes counts against the container's limit.",
            ),
        )

    def _note(self, title: str, memory: Memory, programs: tuple[str, ...]) -> None:
        resident = max((memory.resident.get(program, 0) for program in programs), default=0)
        if resident:
            self.rows[f"{title}: resident"] = resident
        if memory.working_set is not None:
            self.rows[f"{title}: working set"] = memory.working_set


def _measure(context: Context, namespace: str, pod: str, container: str) -> Memory:
    return read_memory(context.ground.inside(namespace, pod, container, "sh", "-c", MEMORY_PROGRAM))
