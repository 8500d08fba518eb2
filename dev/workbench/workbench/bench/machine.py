"""Where figures were made: nobody can read them without it."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes import client

from workbench.bench.commit import commit_of
from workbench.bench.context import Context
from workbench.settings import Settings


@dataclass(frozen=True)
class Machine:
    """One machine and the programs on it. Loads are the one minute's, memory is GiB."""

    at: str
    commit: str
    cores: int
    memory: float
    load_before: float
    load_after: float
    kernel: str
    kubernetes: str
    container_runtime: str
    nodes: int
    agent_cli: str
    redis: str
    python: str
    cluster: str
    clock_difference_model_server: float
    clock_difference_redis: float

    def to_json(self) -> dict[str, Any]:
        """As the report writes it."""
        return asdict(self)

    def sentence(self) -> str:
        """For the head of a report."""
        return (
            f"{self.cores} cores, {self.memory:.0f} GiB, load {self.load_before:.1f} before and "
            f"{self.load_after:.1f} after, kernel {self.kernel}, Kubernetes {self.kubernetes}, "
            f"{self.container_runtime}, {self.agent_cli}, {self.redis}, Python {self.python}, "
            f"commit {self.commit}"
        )


def describe_machine(settings: Settings, context: Context) -> Machine:
    """Asks everyone for their version; load and agent CLI are as they are before the first figure.

    Raises:
        WorkbenchError, ApiException, RedisError, httpx.HTTPError: someone does not answer.
    """
    load = os.getloadavg()[0]
    nodes = context.ground.plain(context.ground.core.list_node())["items"]
    info = nodes[0]["status"]["nodeInfo"]
    gateway = context.ground.component_pod("gateway")["metadata"]["name"]
    python = context.ground.inside(
        context.ground.names.namespace,
        gateway,
        "gateway",
        *(
            "/opt/agentsession/bin/python",
            "-c",
            "import platform; print(platform.python_version())",
        ),
    )
    return Machine(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit_of(settings.clone),
        cores=os.cpu_count() or 0,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        load_before=load,
        load_after=load,
        kernel=f"{info['kernelVersion']} ({platform.machine()})",
        kubernetes=client.VersionApi().get_code().git_version,
        container_runtime=info["containerRuntimeVersion"].replace("://", " "),
        nodes=len(nodes),
        agent_cli="agent CLI of unknown version",
        redis=context.mailboxes.version(),
        python=python.strip(),
        cluster=settings.cluster.value,
        clock_difference_model_server=round(context.model.clock_difference(), 6),
        clock_difference_redis=round(context.mailboxes.clock_difference(), 6),
    )
