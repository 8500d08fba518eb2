"""The command line: `python -m localcluster`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from localcluster.announce import announcement
from localcluster.console import Reporter
from localcluster.down import take_down
from localcluster.errors import ClusterError
from localcluster.images import ImageStore
from localcluster.locking import machine_lock
from localcluster.preflight import require_root_on_linux
from localcluster.settings import Settings, load_settings
from localcluster.status import cluster_status
from localcluster.up import ClusterUp

CLONE_DEPTH = 3


@click.group()
@click.pass_context
def main(context: click.Context) -> None:
    """A real Kubernetes on this machine, without a container registry."""
    context.obj = load_settings(os.environ, Path(__file__).resolve().parents[CLONE_DEPTH])


@main.command()
@click.pass_obj
def up(settings: Settings) -> None:
    """Bring the cluster up, or repair it; a healthy one is left alone."""
    with reported_errors() as reporter:
        require_root_on_linux()
        with machine_lock(settings.paths.lock, reporter):
            for line in announcement(settings):
                reporter.note(line)
            ClusterUp(settings, reporter).run()


@main.command()
@click.option("--purge", is_flag=True, help="Also remove the programs that were built.")
@click.option("--force", is_flag=True, help="Also when another clone made the cluster.")
@click.pass_obj
def down(settings: Settings, purge: bool, force: bool) -> None:
    """Remove the cluster: processes, pods, mounts, network, data."""
    with reported_errors() as reporter:
        require_root_on_linux()
        with machine_lock(settings.paths.lock, reporter):
            take_down(settings, reporter, purge=purge, force=force)


@main.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Show every process and check; ends with 1 when something is not well."""
    with reported_errors() as reporter:
        require_root_on_linux()
        lines, healthy = cluster_status(settings)
        for line in lines:
            reporter.note(line)
        if not healthy:
            sys.exit(1)


@main.command("load-image")
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--name", help="Reference to give the image, if not the archive's own.")
@click.option("--force", is_flag=True, help="Import although an image of that name is there.")
@click.pass_obj
def load_image(settings: Settings, archive: Path, name: str | None, force: bool) -> None:
    """Import an image archive (docker or OCI) unless it is there already."""
    with reported_errors() as reporter:
        with reporter.step(f"loading {archive.name}"):
            loaded = ImageStore(settings).load(archive, name=name, force=force)
        for reference in loaded:
            reporter.note(f"imported {reference}")
        if not loaded:
            reporter.note("already present")


@main.command()
@click.pass_obj
def images(settings: Settings) -> None:
    """List the images that pods can use."""
    with reported_errors():
        for name in ImageStore(settings).names():
            click.echo(name)


@contextmanager
def reported_errors() -> Iterator[Reporter]:
    """Give a reporter; turn an error meant for people into its text and exit status 1."""
    reporter = Reporter(Console(stderr=True))
    try:
        yield reporter
    except ClusterError as error:
        reporter.error(error)
        sys.exit(1)
    except KeyboardInterrupt:
        reporter.warn("interrupted; the same command continues")
        sys.exit(130)
