"""The command line: `python -m imagebuild`."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import click

from imagebuild.buildah import Buildah, missing_packages, storage_driver
from imagebuild.delivery import (
    Builder,
    Delivery,
    KindDelivery,
    LocalClusterDelivery,
    RegistryDelivery,
)
from imagebuild.docker import Docker
from imagebuild.places import Places
from imagebuild.plan import build_images, selected_recipes
from imagebuild.references import LOCAL_PREFIX, write_references
from localcluster.cli import reported_errors
from localcluster.commands import run, succeeds
from localcluster.console import Reporter, elapsed
from localcluster.errors import ClusterError
from localcluster.locking import machine_lock
from localcluster.settings import Settings, load_settings

CLONE_DEPTH = 3
SYSTEM_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


@click.group()
@click.pass_context
def main(context: click.Context) -> None:
    """Builds the project's images."""
    context.obj = load_settings(os.environ, Path(__file__).resolve().parents[CLONE_DEPTH])


@main.command()
@click.option("--only", multiple=True, metavar="NAME", help="This image only; may be repeated.")
@click.option(
    "--cluster",
    type=click.Choice(["local", "kind", "existing"]),
    default="local",
    show_default=True,
    help="Whose pods shall start from the images.",
)
@click.option("--kind-name", default="kind", show_default=True, help="Name of the kind cluster.")
@click.option("--push", metavar="PREFIX", help="Push to a registry, as PREFIX/agentsession-*.")
@click.option(
    "--builder",
    "builder_name",
    type=click.Choice(["auto", "buildah", "docker"]),
    default="auto",
    show_default=True,
    help="auto: buildah for the local cluster, else Docker if its daemon answers.",
)
@click.pass_obj
def build(
    settings: Settings,
    only: tuple[str, ...],
    cluster: str,
    kind_name: str,
    push: str | None,
    builder_name: str,
) -> None:
    """Build what has changed and bring it to the cluster or the registry."""
    started = time.monotonic()
    places = Places(settings.paths.clone, settings.paths.cache)
    with reported_errors() as reporter:
        recipes = selected_recipes(only)
        delivery = choose_delivery(settings, places, reporter, cluster, kind_name, push)
        with machine_lock(places.lock, reporter):
            builder = choose_builder(places, reporter, builder_name, cluster)
            built = build_images(
                places.clone, recipes, builder, delivery, push or LOCAL_PREFIX, reporter
            )
        write_references(places.references, built)
        reporter.note(f"images in place ({elapsed(time.monotonic() - started)})")


def choose_delivery(
    settings: Settings,
    places: Places,
    reporter: Reporter,
    cluster: str,
    kind_name: str,
    push: str | None,
) -> Delivery:
    """Return where the images go. Raises ClusterError."""
    if push is not None:
        return RegistryDelivery()
    if cluster == "kind":
        return KindDelivery(kind_name, places)
    if cluster == "existing":
        raise ClusterError(
            "an existing cluster pulls its images from a registry, and none is named",
            next_step="give yours: `make images PUSH=registry.example.com/you`",
        )
    return LocalClusterDelivery(settings, places, reporter)


def choose_builder(places: Places, reporter: Reporter, name: str, cluster: str) -> Builder:
    """Return what builds, with what it needs installed. Raises ClusterError."""
    bundle = ca_bundle(os.environ)
    if name == "docker" or (
        name == "auto" and cluster != "local" and succeeds(["docker", "version"])
    ):
        return Docker(places, bundle)
    places.folder.mkdir(parents=True, exist_ok=True)
    file_system = run(
        ["stat", "--file-system", "--format=%T", str(places.folder)], next_step="use Linux"
    ).strip()
    builder = Buildah(places, reporter, bundle, storage_driver(file_system))
    builder.prepare(missing_packages(_is_there))
    return builder


def ca_bundle(environment: Mapping[str, str]) -> Path | None:
    """Return the machine's CA bundle, which may hold certificates that the image's own lacks."""
    candidates = [environment.get(name, "") for name in CA_VARIABLES] + [SYSTEM_CA_BUNDLE]
    return next((Path(path) for path in candidates if path and Path(path).is_file()), None)


def _is_there(thing: str) -> bool:
    return Path(thing).exists() if thing.startswith("/") else shutil.which(thing) is not None
