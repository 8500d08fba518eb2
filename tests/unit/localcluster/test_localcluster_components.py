"""Command lines of the components."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcluster.components import Component, Programs, all_components
from localcluster.processes import fingerprint
from localcluster.settings import Paths, Settings
from localcluster.status import COMPONENT_NAMES


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(Paths(clone=tmp_path, state=tmp_path / "state", cache=tmp_path / "cache"))


@pytest.fixture
def components(settings: Settings) -> dict[str, Component]:
    programs = Programs(
        *(Path(f"/p/{name}") for name in ("kube", "dns", "helm", "pause", "ctd", "cni"))
    )
    return {item.name: item for item in all_components(settings, programs)}


def test_the_status_page_lists_every_component_in_order(components: dict[str, Component]) -> None:
    assert tuple(components) == COMPONENT_NAMES


def test_logs_and_exec_go_to_the_nodes_address(components: dict[str, Component]) -> None:
    assert "--kubelet-preferred-address-types=InternalIP" in components["kube-apiserver"].argv


def test_clients_of_the_api_server_cannot_read_etcd(components: dict[str, Component]) -> None:
    trusted = next(item for item in components["etcd"].argv if item.startswith("--trusted-ca"))

    assert trusted.endswith("/pki/etcd-ca.crt")
    assert "--client-cert-auth=true" in components["etcd"].argv


@pytest.mark.parametrize("name", ["kube-controller-manager", "kube-scheduler"])
def test_controllers_have_room_for_load_tests(components: dict[str, Component], name: str) -> None:
    assert "--kube-api-qps=300" in components[name].argv
    assert "--kube-api-burst=600" in components[name].argv


def test_audit_log_is_rotated(components: dict[str, Component], settings: Settings) -> None:
    argv = components["kube-apiserver"].argv

    assert f"--audit-log-path={settings.paths.logs}/audit.log" in argv
    assert "--audit-log-maxsize=100" in argv


def test_a_component_is_outdated_when_a_file_of_it_changes(tmp_path: Path) -> None:
    program, config = tmp_path / "program", tmp_path / "config"
    program.write_text("x")
    config.write_text("a")
    component = Component("c", (str(program), "--flag"), (config,))
    before = fingerprint(component)

    assert fingerprint(component) == before
    config.write_text("b")
    assert fingerprint(component) != before


def test_a_component_is_outdated_when_a_flag_changes(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("x")

    one, two = (Component("c", (str(program), flag)) for flag in ("--one", "--two"))

    assert fingerprint(one) != fingerprint(two)
