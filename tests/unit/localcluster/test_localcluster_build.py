"""What is built, and when it is built again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from localcluster.build import (
    build_targets,
    cached_program,
    go_environment,
    parse_go_version,
    source_hash,
)
from localcluster.packages import missing_packages, services_kept_still
from localcluster.settings import COREDNS_VERSION, KUBERNETES_VERSION, Paths

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(clone=tmp_path, state=tmp_path / "state", cache=tmp_path / "cache")
    for module in (paths.go_source, paths.go_source / "coredns"):
        module.mkdir(parents=True)
        for name in ("go.mod", "go.sum", "main.go"):
            (module / name).write_text(name)
    return paths


def test_changed_source_is_built_again_and_a_test_is_not(paths: Paths) -> None:
    before = source_hash(paths.go_source)

    (paths.go_source / "main_test.go").write_text("x")
    assert source_hash(paths.go_source) == before

    (paths.go_source / "main.go").write_text("x")
    assert source_hash(paths.go_source) != before


def test_a_module_inside_of_another_counts_by_itself(paths: Paths) -> None:
    before = [source_hash(paths.go_source), source_hash(paths.go_source / "coredns")]

    (paths.go_source / "coredns" / "main.go").write_text("x")
    after = [source_hash(paths.go_source), source_hash(paths.go_source / "coredns")]

    assert before[0] == after[0]
    assert before[1] != after[1]


def test_other_flags_make_another_program(paths: Paths) -> None:
    target = build_targets()[0]

    changed = replace(target, linker_flags="-s")

    assert cached_program(paths, target) == cached_program(paths, target)
    assert cached_program(paths, target) != cached_program(paths, changed)


def test_a_fetched_program_does_not_depend_on_our_source(paths: Paths) -> None:
    (helm,) = (target for target in build_targets() if target.program == "helm")
    before = cached_program(paths, helm)

    (paths.go_source / "main.go").write_text("x")

    assert helm.fetched
    assert cached_program(paths, helm) == before


def test_the_modules_hold_the_versions_that_are_announced() -> None:
    go = REPOSITORY / "dev" / "localcluster" / "go"

    assert f"\tk8s.io/kubernetes {KUBERNETES_VERSION}\n" in (go / "go.mod").read_text()
    coredns = (go / "coredns" / "go.mod").read_text()
    assert f"require github.com/coredns/coredns {COREDNS_VERSION}\n" in coredns


@pytest.mark.parametrize(
    ("answer", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26)), ("go1.19", (1, 19)), ("no go", (0, 0))],
)
def test_go_versions(answer: str, version: tuple[int, int]) -> None:
    assert parse_go_version(answer) == version


def test_builds_are_static_and_keep_the_users_proxy() -> None:
    environment = go_environment({"GOPROXY": "https://proxy.example", "CGO_ENABLED": "1"})

    assert environment["GOPROXY"] == "https://proxy.example"
    assert environment["CGO_ENABLED"] == "0"


def test_only_missing_programs_are_installed() -> None:
    present = {"containerd", "ctr", "ip", "mount"}

    missing = missing_packages(
        which=lambda name: f"/usr/bin/{name}" if name in present else None,
        find_cni=lambda: None,
    )

    assert missing == ["containernetworking-plugins", "nftables", "runc"]


def test_services_stay_off_while_packages_install(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"

    with services_kept_still(policy):
        assert "exit 101" in policy.read_text()
        assert policy.stat().st_mode & 0o111
    assert not policy.exists()


def test_the_machines_own_policy_is_kept(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("mine")

    with services_kept_still(policy):
        pass

    assert policy.read_text() == "mine"
