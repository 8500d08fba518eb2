"""Recognizing what an earlier cluster left behind."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import replace
from pathlib import Path

import pytest

from localcluster import cgroups, network
from localcluster.errors import ClusterError
from localcluster.preflight import conflicting_socket, is_foreign_node_agent
from localcluster.processes import PidFile, ProcessTable, forgotten
from localcluster.procfs import (
    Process,
    environment_value,
    mounts_below,
    parse_listeners,
    parse_mount_points,
    parse_stat,
    read_process,
)
from localcluster.record import (
    claim_state,
    is_foreign,
    link_state,
    read_record,
    require_own_folder,
    unlink_state,
)
from localcluster.rendering import CGROUP_NAME
from localcluster.settings import Listener, Network, Paths

STAT = "4242 (name with) brackets) S 1 4242 4242 0 -1 4194560 9 8 7 6 5 4 3 2 20 0 9 0 987654 1 2"
MOUNTINFO = """\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
90 21 0:50 / /state/kubelet/pods/a\\040b/volumes/token rw - tmpfs tmpfs rw
91 21 0:51 / /state-of-others/x rw - tmpfs tmpfs rw
92 90 0:52 / /state/kubelet/pods/a\\040b/volumes/token/inner rw - tmpfs tmpfs rw
"""
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:305B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5501 1
   1: 00000000:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5502 1
   2: 0100007F:9999 0100007F:305B 01 00000000:00000000 00:00000000 00000000     0        0 5503 1
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    clone = tmp_path / "clone"
    clone.mkdir()
    return Paths(clone=clone, state=tmp_path / "state", cache=tmp_path / "cache")


def process(pid: int, name: str = "localkube", state: str = "S") -> Process:
    return Process(pid=pid, name=name, state=state, start_ticks=1)


def test_a_name_with_brackets_is_read() -> None:
    assert parse_stat(STAT) == Process(4242, "name with) brackets", "S", 987654)


@pytest.mark.parametrize(("state", "running"), [("S", True), ("R", True), ("Z", False)])
def test_an_ended_process_does_not_run(state: str, running: bool) -> None:
    assert process(1, state=state).running is running


def test_the_environment_tells_whose_process_it_is(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "environ").write_bytes(b"A=1\0MARK=/state\0MARK2=x\0")

    assert environment_value(7, "MARK", tmp_path) == "/state"
    assert environment_value(7, "ARK", tmp_path) is None
    assert environment_value(8, "MARK", tmp_path) is None


def test_unknown_processes_of_ours_are_forgotten_ones_but_shims_are_not() -> None:
    found = [process(1), process(2), process(3, "containerd-shim")]

    assert forgotten(found, known_pids=[1]) == [process(2)]


def test_a_reused_process_id_is_not_our_process(paths: Paths) -> None:
    own = read_process(1)
    assert own is not None
    remembered = PidFile(pid=own.pid, start_ticks=own.start_ticks + 1, fingerprint="f")
    file = paths.state / "pids" / "etcd.json"
    file.parent.mkdir(parents=True)

    file.write_text(json.dumps(vars(remembered)))
    assert ProcessTable(paths).running("etcd") is None

    file.write_text(json.dumps(vars(replace(remembered, start_ticks=own.start_ticks))))
    assert ProcessTable(paths).running("etcd") is not None


def test_a_damaged_pid_file_is_no_process(paths: Paths) -> None:
    file = paths.state / "pids" / "etcd.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"pid": 1')

    assert ProcessTable(paths).running("etcd") is None


def test_mounts_of_the_state_folder_are_removed_innermost_first() -> None:
    token = "/state/kubelet/pods/a b/volumes/token"

    points = mounts_below(Path("/state"), parse_mount_points(MOUNTINFO))

    assert points == [f"{token}/inner", token]


def test_only_listening_sockets_count() -> None:
    assert parse_listeners(TCP) == {("127.0.0.1", 12379): 5501, ("0.0.0.0", 53): 5502}


@pytest.mark.parametrize(
    ("listener", "inode"),
    [
        (Listener("etcd", "127.0.0.1", 12379), 5501),
        (Listener("etcd", "127.0.0.1", 12380), None),
        (Listener("coredns", "10.218.0.1", 53), 5502),
        (Listener("other", "10.218.0.1", 12379), None),
        (Listener("wildcard", "0.0.0.0", 12379), 5501),
    ],
)
def test_a_taken_port_is_found(listener: Listener, inode: int | None) -> None:
    assert conflicting_socket(listener, parse_listeners(TCP)) == inode


@pytest.mark.parametrize(
    ("name", "ours", "foreign"),
    [("kubelet", False, True), ("kubelet", True, False), ("localkube", False, False)],
)
def test_another_clusters_kubelet_is_recognized(name: str, ours: bool, foreign: bool) -> None:
    assert is_foreign_node_agent(process(9, name), ours=ours) is foreign


def test_routes_into_the_clusters_ranges_are_found() -> None:
    routes = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "10.0.0.0/8", "dev": "vpn0"},
        {"dst": "10.219.1.0/24", "dev": "docker0"},
        {"dst": "10.218.0.1", "dev": Network().interface},
    ]

    assert network.overlapping_routes(routes, Network()) == ["10.219.1.0/24 dev docker0"]


def test_interfaces_of_lost_pods_are_found_by_their_routes() -> None:
    routes = [
        {"dst": "10.219.0.7", "dev": "veth1"},
        {"dst": "10.219.4.7", "dev": "eth0"},
        {"dst": "10.219.0.9", "dev": "veth2"},
    ]

    assert network.pod_devices(routes, Network()) == {"veth1", "veth2"}
    assert Network().pods == ipaddress.IPv4Network("10.219.0.0/22")


@pytest.mark.parametrize(("content", "mtu"), [("1400", 1400), ("65536", 1500), ("?", 1500)])
def test_pods_use_the_mtu_of_the_way_out(tmp_path: Path, content: str, mtu: int) -> None:
    (tmp_path / "eth0").mkdir()
    (tmp_path / "eth0" / "mtu").write_text(content)

    assert network.pod_mtu("eth0", tmp_path) == mtu
    assert network.pod_mtu(None, tmp_path) == 1500


def test_only_changed_kernel_parameters_are_written(tmp_path: Path) -> None:
    panic, forward = tmp_path / "kernel" / "panic", tmp_path / "net" / "ipv4" / "ip_forward"
    for file, value in ((panic, "10\n"), (forward, "1\n")):
        file.parent.mkdir(parents=True)
        file.write_text(value)

    network.write_sysctls({"kernel/panic": "0", "net/ipv4/ip_forward": "1", "vm/x": "9"}, tmp_path)

    assert panic.read_text() == "0"
    assert forward.read_text() == "1\n"
    assert not (tmp_path / "vm").exists()


@pytest.mark.parametrize("version", [1, 2])
def test_pods_processes_are_found_in_the_control_group(tmp_path: Path, version: int) -> None:
    roots = [tmp_path] if version == 2 else [tmp_path / "memory", tmp_path / "cpu"]
    for root in roots:
        root.mkdir(exist_ok=True)
        (root / "cgroup.procs").touch()
    if version == 2:
        (tmp_path / "cgroup.controllers").write_text("cpu memory")

    cgroups.create_group(tmp_path)
    for root in roots:
        pod = root / CGROUP_NAME / "kubepods" / "pod1"
        pod.mkdir(parents=True)
        (pod / "cgroup.procs").write_text("12\n13\n")

    assert cgroups.group_processes(tmp_path) == [12, 13]


def test_a_state_folder_of_something_else_is_refused(paths: Paths) -> None:
    paths.state.mkdir()
    (paths.state / "thesis.tex").touch()

    with pytest.raises(ClusterError, match="not of a local cluster"):
        require_own_folder(paths)


def test_the_cluster_of_another_living_clone_is_foreign(paths: Paths, tmp_path: Path) -> None:
    claim_state(paths)
    assert not is_foreign(paths)

    other = tmp_path / "other"
    other.mkdir()
    assert is_foreign(replace(paths, clone=other))

    claim_state(replace(paths, clone=other))
    assert is_foreign(replace(paths, clone=other)), "a repair changed the owner"

    paths.clone.rmdir()
    assert not is_foreign(replace(paths, clone=other))


@pytest.mark.parametrize("content", ["", "{}", '{"state_format": 0, "programs": {}}'])
def test_an_unfinished_or_older_state_is_not_used(paths: Paths, content: str) -> None:
    paths.state.mkdir()
    paths.record.write_text(content)

    assert read_record(paths) is None


def test_the_link_in_the_clone_follows_the_state_folder(paths: Paths) -> None:
    paths.link.symlink_to("/nowhere")

    link_state(paths)
    assert paths.link.readlink() == paths.state

    unlink_state(paths)
    assert not paths.link.is_symlink()


def test_a_folder_in_the_links_place_is_not_removed(paths: Paths) -> None:
    paths.link.mkdir()

    with pytest.raises(ClusterError, match="in the way"):
        link_state(paths)


def test_a_half_deleted_state_folder_is_still_ours(paths: Paths) -> None:
    (paths.state / "kubelet").mkdir(parents=True)

    require_own_folder(paths)


@pytest.mark.parametrize(("policy", "drops"), [("drop", True), ("accept", False)])
def test_a_host_that_drops_forwarded_packets_is_recognized(policy: str, drops: bool) -> None:
    chain = f"type filter hook forward priority filter; policy {policy};"

    assert network.drops_forwarded(chain) is drops
