"""The tables of names, ports and addresses."""

from __future__ import annotations

from pathlib import Path

from localcluster.components import Programs, all_components
from localcluster.settings import Network, Paths, Settings, load_settings

PROGRAMS = Programs(
    *(Path("/programs") / name for name in ("kube", "dns", "helm", "pause", "ctd", "cni"))
)


def settings_for(folder: Path) -> Settings:
    return Settings(Paths(clone=folder / "clone", state=folder / "state", cache=folder / "cache"))


def test_folders_come_from_the_environment_when_it_has_them() -> None:
    settings = load_settings({"LOCALCLUSTER_STATE": "/elsewhere"}, Path("/clone"))

    assert settings.paths.state == Path("/elsewhere")
    assert settings.paths.cache == Path("/var/cache/agentsession-localcluster")
    assert settings.paths.link == Path("/clone/.cluster")


def test_an_empty_variable_means_the_default() -> None:
    settings = load_settings({"LOCALCLUSTER_STATE": ""}, Path("/clone"))

    assert settings.paths.state == Path("/var/lib/agentsession-localcluster")


def test_no_two_listeners_share_a_socket(tmp_path: Path) -> None:
    listeners = settings_for(tmp_path).listeners()

    assert len({(item.address, item.port) for item in listeners}) == len(listeners)


def test_every_listener_belongs_to_a_component(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    components = {item.name for item in all_components(settings, PROGRAMS)}

    assert {item.component for item in settings.listeners()} <= components


def test_address_ranges_do_not_overlap() -> None:
    network = Network()

    assert not network.pods.overlaps(network.services)
    assert network.node_address not in network.pods
    assert network.node_address not in network.services
    assert str(network.api_service) == "10.220.0.1"
    assert str(network.dns_service) == "10.220.0.10"


def test_interface_name_fits_the_kernel() -> None:
    assert len(Network().interface) <= 15
