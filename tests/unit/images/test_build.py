from __future__ import annotations

import io
import json
from collections.abc import Collection
from pathlib import Path

import pytest
from rich.console import Console

from imagebuild.base import base_file, cached_base
from imagebuild.buildah import REQUIREMENTS, missing_packages, storage_driver
from imagebuild.cli import ca_bundle, choose_delivery
from imagebuild.delivery import LocalClusterDelivery, RegistryDelivery
from imagebuild.places import Places
from imagebuild.plan import build_images, selected_recipes
from imagebuild.recipes import Recipe
from imagebuild.references import ImageReference, merged, write_references
from localcluster.console import Reporter
from localcluster.errors import ClusterError
from localcluster.settings import load_settings

ONE = ImageReference("localhost/agentsession-one", "src-1")


class FakeBuilder:
    """Builds nothing and remembers what it was asked for."""

    def __init__(self, base: str = "base") -> None:
        self.base = base
        self.built: list[str] = []
        self.archived: list[tuple[str, ...]] = []
        self.pushed: list[str] = []

    def base_identity(self) -> str:
        return self.base

    def build(self, recipe: Recipe, reference: str) -> None:
        self.built.append(reference)

    def archive(self, reference: str, present: Collection[str], file: Path) -> None:
        self.archived.append(tuple(sorted(present)))
        file.write_bytes(b"archive")

    def push(self, reference: str) -> None:
        self.pushed.append(reference)


class FakeDelivery:
    def __init__(self, present: set[str]) -> None:
        self._present = present
        self.delivered: list[str] = []

    def present(self) -> set[str]:
        return self._present

    def deliver(self, builder: object, reference: str) -> str:
        self.delivered.append(reference)
        return "done"


@pytest.fixture
def reporter() -> Reporter:
    return Reporter(Console(file=io.StringIO()))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for recipe in selected_recipes(()):
        (tmp_path / recipe.dockerfile).write_text("FROM scratch\n")
        (tmp_path / recipe.ignore_file).write_text("*\n")
    return tmp_path


def test_only_what_is_not_there_is_built(tree: Path, reporter: Reporter) -> None:
    builder, nothing = FakeBuilder(), FakeDelivery(set())
    recipes = selected_recipes(())
    first = build_images(tree, recipes, builder, nothing, "localhost", reporter)
    assert builder.built == nothing.delivered == [str(reference) for reference in first.values()]

    (tree / "images/redis.Dockerfile").write_text("FROM scratch\n# changed\n")
    again, there = FakeBuilder(), FakeDelivery(set(builder.built))
    second = build_images(tree, recipes, again, there, "localhost", reporter)
    assert again.built == [str(second["redis"])]
    assert second["service"] == first["service"]


def test_a_newer_base_makes_new_images(tree: Path, reporter: Reporter) -> None:
    recipes = selected_recipes(["redis"])
    old = build_images(tree, recipes, FakeBuilder("a"), FakeDelivery(set()), "p", reporter)
    new = build_images(tree, recipes, FakeBuilder("b"), FakeDelivery(set()), "p", reporter)
    assert old["redis"].repository == new["redis"].repository == "p/agentsession-redis"
    assert old["redis"].tag != new["redis"].tag


def test_an_unknown_image_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ClusterError) as caught:
        selected_recipes(["servce"])
    assert caught.value.cause == "there is no image servce"
    assert "service, development, agent, redis" in caught.value.next_step


def test_references_of_other_images_stay(tmp_path: Path) -> None:
    file = tmp_path / ".build" / "images.json"
    write_references(file, {"one": ONE, "two": ImageReference("r", "src-2")})
    write_references(file, {"two": ImageReference("r", "src-3")})
    assert json.loads(file.read_text()) == {
        "one": {"repository": "localhost/agentsession-one", "tag": "src-1"},
        "two": {"repository": "r", "tag": "src-3"},
    }


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_an_unreadable_reference_file_is_replaced(text: str) -> None:
    assert list(json.loads(merged(text, {"one": ONE}))) == ["one"]


def test_packages_are_installed_only_where_something_is_missing() -> None:
    assert missing_packages(lambda thing: True) == []
    assert missing_packages(lambda thing: thing != "buildah") == ["buildah"]
    assert missing_packages(lambda thing: False) == [package for _, package in REQUIREMENTS]


@pytest.mark.parametrize(
    ("file_system", "driver"),
    [("ext2/ext3", "overlay"), ("xfs", "overlay"), ("overlayfs", "vfs"), ("overlay", "vfs")],
)
def test_overlay_is_not_put_on_top_of_overlay(file_system: str, driver: str) -> None:
    assert storage_driver(file_system) == driver


def test_a_base_without_its_checksum_is_not_complete(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path)
    assert cached_base(places) is None
    file = base_file(places)
    file.parent.mkdir()
    file.write_bytes(b"half a base")
    assert cached_base(places) is None
    file.with_suffix(".sha256").write_text("ab" * 32 + "\n")
    base = cached_base(places)
    assert base is not None
    assert base.reference == "localhost/agentsession-base:" + "ab" * 8


def test_the_ca_bundle_named_by_the_environment_comes_first(tmp_path: Path) -> None:
    own = tmp_path / "own.pem"
    own.write_text("certificates")
    assert ca_bundle({"PIP_CERT": str(tmp_path / "gone"), "SSL_CERT_FILE": str(own)}) == own


def test_an_existing_cluster_needs_a_registry(tmp_path: Path, reporter: Reporter) -> None:
    settings, places = load_settings({}, tmp_path), Places(tmp_path, tmp_path)
    with pytest.raises(ClusterError) as caught:
        choose_delivery(settings, places, reporter, "existing", "kind", None)
    assert "PUSH=" in caught.value.next_step
    pushed = choose_delivery(settings, places, reporter, "existing", "kind", "registry/me")
    assert isinstance(pushed, RegistryDelivery)


class FakeStore:
    """Takes the archive at the given attempt."""

    def __init__(self, succeeds_at: int) -> None:
        self.attempts = 0
        self._succeeds_at = succeeds_at

    def load(self, archive: Path, *, force: bool) -> list[str]:
        assert force, "a broken import leaves a name behind: it must not pass for the image"
        self.attempts += 1
        if self.attempts < self._succeeds_at:
            raise ClusterError("a layer is missing", next_step="-")
        return [str(archive)]


@pytest.mark.parametrize(
    ("succeeds_at", "archived"),
    [(1, [("sha256:a",)]), (2, [("sha256:a",), ()])],
    ids=["new layers suffice", "a layer has gone meanwhile"],
)
def test_only_new_layers_are_loaded_and_all_if_that_fails(
    tmp_path: Path,
    reporter: Reporter,
    monkeypatch: pytest.MonkeyPatch,
    succeeds_at: int,
    archived: list[tuple[str, ...]],
) -> None:
    delivery = LocalClusterDelivery(
        load_settings({}, tmp_path), Places(tmp_path, tmp_path), reporter
    )
    store = FakeStore(succeeds_at)
    monkeypatch.setattr(delivery, "_store", store)
    monkeypatch.setattr(delivery, "_layers", lambda: {"sha256:a"})
    (tmp_path / "images").mkdir()
    builder = FakeBuilder()
    delivery.deliver(builder, str(ONE))
    assert builder.archived == archived


def test_an_import_that_fails_twice_is_an_error(
    tmp_path: Path, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = LocalClusterDelivery(
        load_settings({}, tmp_path), Places(tmp_path, tmp_path), reporter
    )
    monkeypatch.setattr(delivery, "_store", FakeStore(3))
    monkeypatch.setattr(delivery, "_layers", set)
    (tmp_path / "images").mkdir()
    with pytest.raises(ClusterError, match="a layer is missing"):
        delivery.deliver(FakeBuilder(), str(ONE))
