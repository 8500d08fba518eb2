"""The workbench's command line."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import click

from workbench.bench.run import DEFAULT_ROUNDS, run_bench
from workbench.clusters import open_cluster
from workbench.console import reported
from workbench.demo import run_demo
from workbench.images import build_images
from workbench.install import install_release, uninstall_release
from workbench.page import close_page, forward_page
from workbench.settings import Settings, load_settings
from workbench.testing import run_tests


@click.group()
@click.pass_context
def main(context: click.Context) -> None:
    """What the Makefile's targets do."""
    clone = Path(__file__).resolve().parents[3]
    try:
        context.obj = load_settings(os.environ, clone)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    context.obj.build_folder.mkdir(exist_ok=True)


@main.command()
@click.argument("direction", type=click.Choice(["up", "down"]))
@click.pass_obj
def cluster(settings: Settings, direction: str) -> None:
    """Bring the cluster up or take it down."""
    with reported() as reporter:
        opened = open_cluster(settings)
        if direction == "up":
            opened.up(reporter)
        else:
            close_page(settings.build_folder)
            opened.down(reporter)


@main.command()
@click.pass_obj
def images(settings: Settings) -> None:
    """Build the images."""
    with reported():
        build_images(settings)


@main.command()
@click.pass_obj
def install(settings: Settings) -> None:
    """Install or upgrade the release."""
    with reported() as reporter:
        opened = open_cluster(settings)
        names = settings.demo_names(opened.owner)
        with reporter.step(f"install release {names.release} in {names.namespace}"):
            install_release(settings, opened, names, reporter)


@main.command()
@click.pass_obj
def uninstall(settings: Settings) -> None:
    """Remove the release; sessions and volumes stay."""
    with reported() as reporter:
        opened = open_cluster(settings)
        names = settings.demo_names(opened.owner)
        with reporter.step(f"remove release {names.release}"):
            close_page(settings.build_folder)
            uninstall_release(opened, names)


@main.command()
@click.pass_obj
def demo(settings: Settings) -> None:
    """Apply a session, print its answer, and open a page to go on talking."""
    with reported() as reporter:
        opened = open_cluster(settings)
        run_demo(
            settings,
            opened,
            settings.demo_names(opened.owner),
            reporter,
            datetime.now().astimezone(),
        )


@main.command(hidden=True)
@click.pass_obj
def keep_page(settings: Settings) -> None:
    """Keep the chat page open; `demo` starts this beside itself."""
    with reported():
        opened = open_cluster(settings)
        forward_page(settings.build_folder, opened, settings.demo_names(opened.owner))


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def test(settings: Settings, arguments: tuple[str, ...]) -> None:
    """Run the tests that need servers."""
    with reported() as reporter:
        run_tests(settings, open_cluster(settings), arguments, reporter)


@main.command()
@click.option(
    "--rounds",
    envvar="ROUNDS",
    default=DEFAULT_ROUNDS,
    show_default=True,
    type=click.IntRange(1),
    help="How often each thing is measured; 3 take under two minutes.",
)
@click.pass_obj
def bench(settings: Settings, rounds: int) -> None:
    """Measure the installed release beside a plain Job."""
    with reported() as reporter:
        opened = open_cluster(settings)
        run_bench(settings, opened, settings.demo_names(opened.owner), reporter, rounds)
