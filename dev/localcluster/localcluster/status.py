"""The state of the cluster, for people."""

from __future__ import annotations

from localcluster.health import Health
from localcluster.processes import ProcessTable
from localcluster.record import read_owner, read_record
from localcluster.settings import Settings

COMPONENT_NAMES = (
    *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "netpol"),
    *("containerd", "kubelet", "kube-proxy", "coredns", "provisioner"),
)


def cluster_status(settings: Settings) -> tuple[list[str], bool]:
    """Return lines about the cluster and whether all is well."""
    if read_record(settings.paths) is None:
        return ["no cluster; `make cluster` makes one"], False
    table, health = ProcessTable(settings.paths), Health(settings)
    lines = [f"state {settings.paths.state}, made by {read_owner(settings.paths)}"]
    well = True
    for name in COMPONENT_NAMES:
        process = table.running(name)
        well = well and process is not None
        lines.append(f"{name:<26}" + (f"pid {process.pid}" if process else "NOT RUNNING"))
    for title, check in (
        ("etcd", health.etcd),
        ("API server", health.api_server),
        ("network policies", health.netpol),
        ("kubelet", health.kubelet),
        ("kube-proxy", health.kube_proxy),
        ("node", health.node),
        ("DNS", health.dns),
        ("DNS on its ClusterIP", health.dns_service),
        ("API server's ClusterIP", health.api_service),
    ):
        good = check()
        well = well and good
        lines.append(f"{title:<26}" + ("answers" if good else "DOES NOT ANSWER"))
    lines += [f"{'NetworkPolicy REFUSED':<26}{line}" for line in health.refused_policies()]
    return lines, well
