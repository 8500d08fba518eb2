"""The network policy controller as a part of the cluster."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from cryptography import x509

from localcluster.addons import manifests
from localcluster.components import Programs, all_components
from localcluster.configuration import COMPONENT_USERS
from localcluster.packages import link_cni_plugins
from localcluster.pki import create_pki
from localcluster.record import read_record, recorded_programs, write_record
from localcluster.rendering import cni_config
from localcluster.settings import Paths, Settings

NOW = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
PROGRAMS = Programs(
    *(Path(f"/p/{name}") for name in ("kube", "dns", "helm", "pause", "ctd", "cni"))
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    paths = Paths(clone=tmp_path, state=tmp_path / "state", cache=tmp_path / "cache")
    paths.state.mkdir()
    return Settings(paths)


def test_rules_are_there_before_the_first_pod(settings: Settings) -> None:
    names = [item.name for item in all_components(settings, PROGRAMS)]
    assert names.index("netpol") < names.index("containerd") < names.index("kubelet")


def test_controller_and_plugin_share_table_and_folder(settings: Settings) -> None:
    (component,) = (item for item in all_components(settings, PROGRAMS) if item.name == "netpol")
    plugin = json.loads(cni_config(settings, mtu=1500))["plugins"][-1]
    assert f"--table={plugin['table']}" in component.argv
    assert f"--state-dir={plugin['stateDir']}" in component.argv
    # Not the table of the cluster itself: each is replaced as a whole.
    assert plugin["table"] != settings.network.nft_table
    assert "--health-address=127.0.0.1:11251" in component.argv


def test_it_may_read_and_say_but_change_nothing(settings: Settings) -> None:
    (role,) = (
        item
        for item in manifests(settings)
        if item["kind"] == "ClusterRole" and item["metadata"]["name"] == "localcluster:netpol"
    )
    verbs = {
        resource: set(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]
    }
    assert verbs.pop("events") == {"create", "patch"}
    assert verbs == {key: {"list", "watch"} for key in ("pods", "namespaces", "networkpolicies")}


def test_all_plugins_are_in_one_folder(tmp_path: Path) -> None:
    packaged, into = tmp_path / "packaged", tmp_path / "into"
    packaged.mkdir()
    for name in ("ptp", "host-local"):
        (packaged / name).write_text(name)
    own = tmp_path / "netpol-cni"
    link_cni_plugins(into, packaged, {"netpol-cni": own})
    assert {link.name: link.readlink() for link in into.iterdir()} == {
        "ptp": packaged / "ptp",
        "host-local": packaged / "host-local",
        "netpol-cni": own,
    }

    (packaged / "ptp").unlink()
    newer = tmp_path / "newer"
    link_cni_plugins(into, packaged, {"netpol-cni": newer})
    assert {link.name: link.readlink() for link in into.iterdir()} == {
        "host-local": packaged / "host-local",
        "netpol-cni": newer,
    }


def test_a_cluster_of_an_older_version_has_other_programs(settings: Settings) -> None:
    paths = settings.paths
    write_record(paths, PROGRAMS)
    record = read_record(paths)
    assert record is not None
    assert recorded_programs(record) == PROGRAMS
    del record.programs["netpol_cni"]
    assert recorded_programs(record) is None


def test_a_certificate_that_is_new_is_issued_by_the_authority_that_is_there(
    settings: Settings,
) -> None:
    pki = settings.paths.pki
    create_pki(settings, NOW)
    before = {file.name: file.read_bytes() for file in pki.iterdir()}
    for kind in ("crt", "key"):
        (pki / f"netpol.{kind}").unlink()

    create_pki(settings, NOW)
    after = {file.name: file.read_bytes() for file in pki.iterdir()}
    assert set(after) == set(before)
    assert {name for name in after if after[name] != before[name]} == {"netpol.crt", "netpol.key"}
    authority = x509.load_pem_x509_certificate(after["ca.crt"])
    x509.load_pem_x509_certificate(after["netpol.crt"]).verify_directly_issued_by(authority)


def test_every_component_with_a_kubeconfig_gets_one(settings: Settings) -> None:
    for component in all_components(settings, PROGRAMS):
        for file in component.inputs:
            if file.suffix == ".kubeconfig":
                assert file.stem in COMPONENT_USERS
