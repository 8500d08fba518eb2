"""A control plane without a node, in a folder of its own: for load that must not touch the cluster.

The same programs, command lines and keys as the local cluster's (`components`), other ports, no root.
"""

from __future__ import annotations

import datetime
import json
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path

import yaml

from localcluster import components, rendering
from localcluster.addons import manifests
from localcluster.commands import run
from localcluster.components import Component, Programs, component_kubeconfig
from localcluster.health import Health
from localcluster.pki import create_pki, kubeconfig
from localcluster.processes import ProcessTable, end_processes, marked_processes
from localcluster.settings import Paths, Ports, Settings
from localcluster.waiting import wait_for

START_SECONDS = 60.0
USERS = ("controller-manager", "scheduler", "provisioner")
# One file, never rotated: figures are counted in it.
AUDIT_LOG_MEGABYTES = 8192


@dataclass(frozen=True)
class ControlPlane:
    """etcd, API server, controller manager, scheduler and volume provisioner.

    Its processes outlive nobody's mistakes: `stop` ends everything that was started for the folder,
    by an earlier, killed program, too.
    """

    settings: Settings
    localkube: Path

    @property
    def processes(self) -> ProcessTable:
        """Where its processes are found; others may be started beside them."""
        return ProcessTable(self.settings.paths)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.settings.paths.kubeconfig

    @property
    def audit_log(self) -> Path:
        """Every request to the API server."""
        return self.settings.paths.logs / "audit.log"

    def start(self) -> None:
        """Starts everything and waits until it works. Raises ClusterError."""
        self._write_configuration()
        parts = {component.name: component for component in self._components()}
        health = Health(self.settings)
        self._start(parts["etcd"])
        self._wait("etcd answers", "etcd", health.etcd)
        self._start(parts["kube-apiserver"])
        self._wait("the API server is ready", "kube-apiserver", health.api_server)
        for name in ("kube-controller-manager", "kube-scheduler"):
            self._start(parts[name])
        self._wait("its own namespace is there", "kube-apiserver", health.system_namespace)
        self.apply(yaml.safe_dump_all(manifests(self.settings)))
        self._start(parts["provisioner"])
        self._wait("pods can be made", "kube-controller-manager", health.default_account)

    def stop(self) -> None:
        """Ends every process that was started for this folder. Raises ClusterError."""
        end_processes([process.pid for process in marked_processes(self.settings.paths.state)])

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs kubectl as the administrator. Raises ClusterError."""
        return run(
            [str(self.localkube), "kubectl", f"--kubeconfig={self.kubeconfig}", *arguments],
            stdin=stdin,
            next_step=f"see the logs in {self.settings.paths.logs}",
        )

    def apply(self, manifests: str) -> None:
        """Applies objects as YAML. Raises ClusterError."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifests)

    def _components(self) -> Sequence[Component]:
        programs = Programs(self.localkube, *(Path() for _ in fields(Programs)[1:]))
        api_server = components.api_server(self.settings, programs)
        only_here = ("--bind-address=127.0.0.1", f"--audit-log-maxsize={AUDIT_LOG_MEGABYTES}")
        return (
            components.etcd(self.settings, programs),
            # Of a flag that is given twice the later holds.
            replace(api_server, argv=(*api_server.argv, *only_here)),
            components.controller_manager(self.settings, programs),
            components.scheduler(self.settings, programs),
            components.provisioner(self.settings, programs),
        )

    def _write_configuration(self) -> None:
        paths = self.settings.paths
        paths.config.mkdir(parents=True, exist_ok=True)
        create_pki(self.settings, datetime.datetime.now(datetime.UTC))
        (paths.config / "audit-policy.yaml").write_text(rendering.audit_policy())
        files = {component_kubeconfig(paths, user): user for user in USERS}
        for file, user in {**files, self.kubeconfig: "admin"}.items():
            file.touch(mode=0o600)
            file.write_text(json.dumps(kubeconfig(self.settings, user)))

    def _start(self, component: Component) -> None:
        self.processes.start(component)

    def _wait(self, what: str, component: str, condition: Callable[[], bool]) -> None:
        processes = self.processes
        wait_for(
            what,
            condition,
            seconds=START_SECONDS,
            log=processes.log(component),
            still_possible=lambda: processes.running(component) is not None,
        )


def own_settings(clone: Path, state: Path, cache: Path) -> Settings:
    """Settings for a control plane in `state`, on ports that are free now."""
    names = [field.name for field in fields(Ports)]
    return Settings(
        paths=Paths(clone=clone, state=state, cache=cache),
        ports=Ports(**dict(zip(names, free_ports(len(names)), strict=True))),
    )


def free_ports(count: int) -> list[int]:
    """So many different ports of the loopback address that nobody listens on now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
