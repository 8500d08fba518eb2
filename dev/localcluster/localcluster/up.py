"""Bringing the cluster up: from nothing, over what a killed one left, or not at all."""

from __future__ import annotations

import datetime
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

from localcluster import cgroups, network, packages, rendering
from localcluster.addons import manifests
from localcluster.archives import write_program_image
from localcluster.build import build_missing
from localcluster.cleanup import record_sysctls, remove_everything
from localcluster.commands import run, succeeds
from localcluster.components import (
    Component,
    Programs,
    all_components,
)
from localcluster.configuration import write_configuration
from localcluster.console import Reporter
from localcluster.errors import ClusterError, StoredStateError
from localcluster.health import Health
from localcluster.images import ImageStore
from localcluster.pki import create_pki
from localcluster.preflight import (
    refuse_other_kubelet,
    refuse_overlapping_networks,
    refuse_taken_ports,
    require_root_on_linux,
)
from localcluster.processes import ProcessTable, end_processes, forgotten, marked_processes
from localcluster.record import (
    ClusterRecord,
    claim_state,
    is_foreign,
    link_state,
    read_owner,
    read_record,
    recorded_programs,
    require_own_folder,
    write_record,
)
from localcluster.settings import NETPOL_PLUGIN, PAUSE_IMAGE, Settings
from localcluster.waiting import wait_for

START_SECONDS = 60.0
# A sound etcd answers within two seconds; one with damaged data may hang for ever.
ETCD_SECONDS = 20.0


class ClusterUp:
    """Brings up one cluster; `run` is the one way in."""

    def __init__(self, settings: Settings, reporter: Reporter) -> None:
        self._settings = settings
        self._paths = settings.paths
        self._report = reporter
        self._processes = ProcessTable(settings.paths)
        self._health = Health(settings)

    def run(self) -> None:
        """Leave a working cluster behind, whatever was there before.

        Raises:
            ClusterError: what is missing or broken, and what to do about it.
        """
        require_root_on_linux()
        require_own_folder(self._paths)
        record = read_record(self._paths)
        if record is not None and is_foreign(self._paths) and self._answers(record):
            link_state(self._paths)
            self._report.note(f"using the cluster that {read_owner(self._paths)} made")
            self._warn_of_refused_policies()
            return
        self._install_packages()
        programs = self._programs()
        if record is not None and self._is_current(programs):
            link_state(self._paths)
            self._link_programs(programs)
            self._report.note("the cluster is up")
            self._warn_of_refused_policies()
            return
        refuse_other_kubelet(self._settings)
        self._bring_up(programs, fresh=record is None)

    def _bring_up(self, programs: Programs, *, fresh: bool) -> None:
        if fresh:
            self._remove_leftovers()
        try:
            self._start_all(programs)
        except StoredStateError as error:
            self._report.warn(f"{error.cause}: starting again with an empty cluster")
            self._remove_leftovers()
            self._start_all(programs)
        write_record(self._paths, programs)
        self._warn_of_refused_policies()
        self._report.note(f"export KUBECONFIG={self._paths.link / 'kubeconfig'}")

    def _answers(self, record: ClusterRecord) -> bool:
        """Return whether a cluster of another clone is complete and answers."""
        made_of = recorded_programs(record)
        if made_of is None:
            return False
        components = all_components(self._settings, made_of)
        running = all(self._processes.running(component.name) for component in components)
        return running and self._health.everything()

    def _is_current(self, programs: Programs) -> bool:
        """Return whether exactly this cluster is up and answers."""
        create_pki(self._settings, datetime.datetime.now(datetime.UTC))
        write_configuration(self._settings)
        components = all_components(self._settings, programs)
        current = all(self._processes.is_current(component) for component in components)
        return current and self._health.everything()

    def _install_packages(self) -> None:
        missing = packages.missing_packages()
        if not missing:
            return
        self._report.starting(f"installing Debian packages: {', '.join(missing)}")
        log = self._paths.cache / "log" / "apt.log"
        with self._report.step("installing packages", "packages installed"):
            packages.install_packages(missing, log)

    def _programs(self) -> Programs:
        built = build_missing(self._paths, self._report)
        containerd = shutil.which("containerd")
        if containerd is None:
            raise ClusterError(
                "containerd is not installed", next_step="apt-get install containerd"
            )
        return Programs(
            localkube=built["localkube"],
            coredns=built["coredns"],
            helm=built["helm"],
            pause=built["pause"],
            containerd=Path(containerd),
            netpol_cni=built["netpol-cni"],
        )

    def _remove_leftovers(self) -> None:
        with self._report.step("removing what an earlier cluster left", "nothing left over"):
            remove_everything(self._settings)

    def _start_all(self, programs: Programs) -> None:
        claim_state(self._paths)
        link_state(self._paths)
        record_sysctls(self._settings)
        create_pki(self._settings, datetime.datetime.now(datetime.UTC))
        write_configuration(self._settings)
        self._link_programs(programs)
        components = {item.name: item for item in all_components(self._settings, programs)}
        self._end_forgotten(components)
        self._prepare_network()
        with self._report.step("starting the control plane", "control plane ready"):
            self._start_control_plane(components)
        with self._report.step("starting the node", "node ready"):
            self._start_node(components, programs)
        with self._report.step("starting DNS and volumes", "DNS, Services and volumes ready"):
            self._start_addons(components)

    def _end_forgotten(self, components: dict[str, Component]) -> None:
        known = [
            running.pid
            for name in components
            if (running := self._processes.running(name)) is not None
        ]
        lost = forgotten(marked_processes(self._paths.state), known)
        end_processes([process.pid for process in lost])

    def _prepare_network(self) -> None:
        refuse_overlapping_networks_unless_ours(self._settings, self._processes)
        running = [
            item.component
            for item in self._settings.listeners()
            if self._processes.running(item.component) is not None
        ]
        refuse_taken_ports(self._settings, running)
        network.create_node_interface(self._settings.network)
        network.write_sysctls({"net/ipv4/ip_forward": "1"})
        network.load_ruleset(rendering.nft_ruleset(self._settings))
        cgroups.create_group()
        if network.forward_policy_drops():
            self._warn_of_dropped_packets()

    def _warn_of_refused_policies(self) -> None:
        for line in self._health.refused_policies():
            self._report.warn(f"a NetworkPolicy is refused, its pods are cut off: {line}")

    def _warn_of_dropped_packets(self) -> None:
        pods = self._settings.network.pods
        self._report.warn(
            "the host drops forwarded packets (Docker sets that): pods will not reach each other"
        )
        for flag in ("-s", "-d"):
            self._report.note(f"  allow it: iptables -I DOCKER-USER {flag} {pods} -j ACCEPT")

    def _start_control_plane(self, components: dict[str, Component]) -> None:
        had_data = (self._paths.state / "etcd" / "member").exists()
        try:
            self._start(components["etcd"])
            self._wait("etcd answers", "etcd", self._health.etcd, seconds=ETCD_SECONDS)
        except ClusterError as error:
            if had_data:
                raise StoredStateError(
                    f"etcd does not start on the stored data ({error.cause})",
                    log=error.log,
                    next_step=error.next_step,
                ) from error
            raise
        self._start(components["kube-apiserver"])
        self._wait("the API server is ready", "kube-apiserver", self._health.api_server)
        for name in ("kube-controller-manager", "kube-scheduler"):
            self._start(components[name])
        self._wait("its own namespace is there", "kube-apiserver", self._health.system_namespace)
        self._apply_manifests()
        self._start(components["netpol"])
        self._wait("network policies have their rules", "netpol", self._health.netpol)

    def _start_node(self, components: dict[str, Component], programs: Programs) -> None:
        self._start(components["containerd"])
        self._wait("containerd answers", "containerd", self._health.containerd)
        self._load_pause(programs)
        for name in ("kubelet", "kube-proxy"):
            self._start(components[name])
        self._wait("the kubelet is healthy", "kubelet", self._health.kubelet)
        self._wait("the node is ready", "kubelet", self._health.node)
        self._wait("kube-proxy is healthy", "kube-proxy", self._health.kube_proxy)

    def _start_addons(self, components: dict[str, Component]) -> None:
        for name in ("coredns", "provisioner"):
            self._start(components[name])
        self._wait("CoreDNS answers", "coredns", self._health.dns)
        self._wait("DNS answers on its ClusterIP", "kube-proxy", self._health.dns_service)
        self._wait("the API server's ClusterIP answers", "kube-proxy", self._health.api_service)
        self._wait("pods can be made", "kube-controller-manager", self._health.default_account)

    def _start(self, component: Component) -> None:
        if not self._processes.is_current(component):
            self._processes.start(component)

    def _wait(
        self,
        what: str,
        component: str,
        condition: Callable[[], bool],
        seconds: float = START_SECONDS,
    ) -> None:
        wait_for(
            what,
            condition,
            seconds=seconds,
            log=self._processes.log(component),
            still_possible=lambda: self._processes.running(component) is not None,
        )

    def _load_pause(self, programs: Programs) -> None:
        images = ImageStore(self._settings)
        archive = programs.pause.with_name("pause-image.tar")
        write_program_image(programs.pause, PAUSE_IMAGE, archive, platform.machine())
        images.load(archive)

    def _apply_manifests(self) -> None:
        run(
            [
                *(str(self._paths.bin / "kubectl"), f"--kubeconfig={self._paths.kubeconfig}"),
                *("apply", "--server-side", "--force-conflicts", "--field-manager=localcluster"),
                *("-f", "-"),
            ],
            stdin=yaml.safe_dump_all(manifests(self._settings)),
            next_step="see the API server's log, then run `make cluster` again",
        )

    def _link_programs(self, programs: Programs) -> None:
        self._paths.bin.mkdir(exist_ok=True)
        for name, program in (("kubectl", programs.localkube), ("helm", programs.helm)):
            link = self._paths.bin / name
            link.unlink(missing_ok=True)
            link.symlink_to(program)
        packages.link_cni_plugins(
            self._paths.cni_plugins,
            packages.cni_folder() or packages.CNI_FOLDERS[0],
            {NETPOL_PLUGIN: programs.netpol_cni},
        )


def refuse_overlapping_networks_unless_ours(settings: Settings, table: ProcessTable) -> None:
    """Refuse address ranges in use, unless by the cluster that is about to be repaired."""
    if table.running("containerd") is None and not succeeds(
        ["ip", "link", "show", settings.network.interface]
    ):
        refuse_overlapping_networks(settings)
