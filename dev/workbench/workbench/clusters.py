"""The three kinds of cluster behind the same targets."""

from __future__ import annotations

import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from localcluster.network import host_addresses, public_addresses
from localcluster.settings import Network
from localcluster.settings import load_settings as load_cluster_settings
from workbench.commands import run
from workbench.console import Reporter, WorkbenchError
from workbench.settings import ClusterKind, Settings

KIND_NAME = "agentsession"


class Cluster(ABC):
    """A cluster and the tools to speak to it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @abstractmethod
    def up(self, reporter: Reporter) -> None:
        """Brings it up or finds it healthy. Raises WorkbenchError."""

    @abstractmethod
    def down(self, reporter: Reporter) -> None:
        """Takes it down."""

    @property
    @abstractmethod
    def kubeconfig(self) -> str:
        """Path of the kubeconfig."""

    @property
    def owner(self) -> str | None:
        """Path of the clone that made the cluster; None where that does not matter."""
        return None

    @property
    def bin(self) -> Path | None:
        """Folder with this cluster's own kubectl and helm, if it has them."""
        return None

    def chart_values(self) -> dict[str, Any]:
        """Values of the chart that are this cluster's own."""
        return {}

    def environment(self) -> dict[str, str]:
        """Environment for programs that speak to the cluster."""
        path = os.environ["PATH"]
        return {
            "KUBECONFIG": self.kubeconfig,
            "PATH": f"{self.bin}:{path}" if self.bin else path,
        }

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs kubectl and answers what it printed. Raises WorkbenchError."""
        return run([self.tool("kubectl"), *arguments], stdin=stdin, env=self.environment())

    def helm(self, *arguments: str) -> str:
        """Runs helm and answers what it printed. Raises WorkbenchError."""
        return run([self.tool("helm"), *arguments], env=self.environment())

    def tool(self, name: str) -> str:
        """Path of a program, the cluster's own first. Raises WorkbenchError."""
        found = shutil.which(name, path=self.environment()["PATH"])
        if found is None:
            raise WorkbenchError(f"{name} is not there", f"install {name} and put it on PATH")
        return found


class LocalCluster(Cluster):
    """The cluster of dev/localcluster."""

    def up(self, reporter: Reporter) -> None:
        run([sys.executable, "-m", "localcluster", "up"], show=True)

    def down(self, reporter: Reporter) -> None:
        run([sys.executable, "-m", "localcluster", "down"], show=True)

    @property
    def kubeconfig(self) -> str:
        return str(self._settings.clone / ".cluster" / "kubeconfig")

    @property
    def owner(self) -> str | None:
        owner = self._settings.clone / ".cluster" / "owner"
        return owner.read_text().strip() if owner.exists() else None

    @property
    def bin(self) -> Path | None:
        return self._settings.clone / ".cluster" / "bin"

    def chart_values(self) -> dict[str, Any]:
        cluster_settings = load_cluster_settings(os.environ, self._settings.clone)
        network = cluster_settings.network
        api_port = cluster_settings.ports.api_server
        return local_chart_values(network, api_port, public_addresses(host_addresses()))


def local_chart_values(
    network: Network, api_port: int, host: Sequence[IPv4Address]
) -> dict[str, Any]:
    """Values for the local cluster, whose DNS and API server are processes of the host.

    The API server listens on the host's every address: a public one would be part of the world.
    """
    node = [{"ipBlock": {"cidr": f"{network.node_address}/32"}}]
    return {
        "networkPolicy": {
            "dns": node,
            "apiServer": {"to": node, "ports": [api_port]},
            "extraDenied": [f"{address}/32" for address in host],
        }
    }


class KindCluster(Cluster):
    """A kind cluster; needs Docker, kind, kubectl and helm."""

    def up(self, reporter: Reporter) -> None:
        for program in ("docker", "kind", "kubectl", "helm"):
            self.tool(program)
        if KIND_NAME in run(["kind", "get", "clusters"]).split():
            reporter.note(f"kind cluster {KIND_NAME} is there")
        else:
            run(["kind", "create", "cluster", "--name", KIND_NAME, "--wait", "120s"], show=True)
        config = run(["kind", "get", "kubeconfig", "--name", KIND_NAME])
        target = Path(self.kubeconfig)
        target.parent.mkdir(exist_ok=True)
        target.touch(mode=0o600)
        target.write_text(config)

    def down(self, reporter: Reporter) -> None:
        run(["kind", "delete", "cluster", "--name", KIND_NAME], show=True)

    @property
    def kubeconfig(self) -> str:
        return str(self._settings.clone / ".build" / "kind.kubeconfig")


class ExistingCluster(Cluster):
    """Whatever cluster KUBECONFIG names; it is neither made nor taken down."""

    def up(self, reporter: Reporter) -> None:
        reporter.note(f"cluster: {self.kubectl('config', 'current-context').strip()}")
        self.kubectl("version")

    def down(self, reporter: Reporter) -> None:
        raise WorkbenchError(
            "CLUSTER=existing is not this project's to take down",
            "make uninstall removes the release",
        )

    @property
    def kubeconfig(self) -> str:
        default = str(Path.home() / ".kube" / "config")
        return self._settings.kubeconfig or default


def open_cluster(settings: Settings) -> Cluster:
    """The cluster that CLUSTER names."""
    kinds: dict[ClusterKind, Callable[[Settings], Cluster]] = {
        ClusterKind.LOCAL: LocalCluster,
        ClusterKind.KIND: KindCluster,
        ClusterKind.EXISTING: ExistingCluster,
    }
    return kinds[settings.cluster](settings)
