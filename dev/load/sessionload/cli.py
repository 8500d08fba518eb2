"""The command line."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import click
from rich.console import Console

from agentsession_core import kube
from localcluster.console import Reporter
from localcluster.errors import ClusterError
from sessionload.api import Api
from sessionload.generator import PLAYED_IMAGE, Kind
from sessionload.openload import Load, Target, run_load
from sessionload.records import Journal
from sessionload.scale import MOVES, Size, run_scale
from sessionload.standin import Settings as StandInSettings
from sessionload.standin import StandIn
from workbench.bench.table import make_console, show

WAKE_SECONDS = 600.0
CLONE = Path(__file__).resolve().parents[3]


@click.group()
def main() -> None:
    """Load on the product: sessions in their thousands, and what it costs."""


@main.command()
@click.option(
    "--sessions",
    envvar="SESSIONS",
    default=10_000,
    show_default=True,
    type=click.IntRange(10),
    help="How many sessions there are in the end; 500 are for a try.",
)
@click.option("--seed", envvar="SEED", default=1, show_default=True, help="Of all random times.")
@click.option(
    "--lives",
    default=200,
    show_default=True,
    type=click.IntRange(2),
    help="How many of them live a whole life first; the others are laid down as one was left.",
)
@click.option(
    "--move",
    "moves",
    multiple=True,
    type=click.Choice(list(MOVES)),
    default=tuple(MOVES),
    help="What is measured besides idle sessions; may be given again.  [default: all]",
)
@click.option("--step-seconds", default=30.0, show_default=True, help="How long each rate is held.")
@click.option(
    "--wake-seconds",
    type=float,
    help="Within which sleeping sessions are woken.  [default: 600, in a try less]",
)
@click.option(
    "--idle-at",
    multiple=True,
    type=click.IntRange(2),
    help="Number of sessions at which idle ones are measured; may be given again.  "
    "[default: a tenth, a half; always the first ones and all]",
)
@click.option(
    "--idle-seconds",
    default=60.0,
    show_default=True,
    help="How long idle sessions are watched.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=CLONE / ".build" / "scale",
    help="State, logs and journals of the run; emptied first.  [default: .build/scale]",
)
def scale(
    sessions: int,
    seed: int,
    lives: int,
    moves: tuple[str, ...],
    step_seconds: float,
    wake_seconds: float | None,
    idle_at: tuple[int, ...],
    idle_seconds: float,
    folder: Path,
) -> None:
    """Measure operator and gateway under many sessions, on a control plane of its own."""
    size = Size(
        sessions=sessions,
        lives=min(lives, sessions),
        idle_seconds=idle_seconds,
        step_seconds=step_seconds,
        wake_seconds=wake_seconds or min(WAKE_SECONDS, WAKE_SECONDS * sessions / 1000),
        seed=seed,
        moves=moves,
        idle_at=idle_at,
    )
    reporter = Reporter(Console(stderr=True))
    try:
        failed = run_scale(CLONE, folder.absolute(), size, reporter)
    except ClusterError as error:
        reporter.error(error)
        sys.exit(1)
    sys.exit(1 if failed else 0)


@main.command()
@click.option("--namespace", default="agents", show_default=True, help="Where sessions live.")
@click.option("--redis-url", required=True, help="The installation's Redis, e.g. by port-forward.")
@click.option("--redis-password", envvar="REDIS_PASSWORD", default="", help="Or REDIS_PASSWORD.")
@click.option(
    "--kind",
    type=click.Choice([Kind.COLD.value, Kind.RESUMED.value, Kind.WARM.value]),
    default=Kind.COLD.value,
    show_default=True,
    help="New sessions, sleeping ones, or ones with a live run.",
)
@click.option("--rate", type=float, help="So many a second, open loop (Poisson).")
@click.option("--seconds", default=60.0, show_default=True, help="How long, with --rate.")
@click.option("--burst", "count", default=10, show_default=True, help="So many at once.")
@click.option("--seed", envvar="SEED", default=1, show_default=True, help="Of the random times.")
@click.option("--plain-every", default=0, help="A plain Job beside every so many sessions.")
@click.option("--plain-image", default=PLAYED_IMAGE, help="What plain Jobs run on real nodes.")
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    default=CLONE / ".build" / "load.jsonl",
    help="A line of JSON per object.  [default: .build/load.jsonl]",
)
def run(
    namespace: str,
    redis_url: str,
    redis_password: str,
    kind: str,
    rate: float | None,
    seconds: float,
    count: int,
    seed: int,
    plain_every: int,
    plain_image: str,
    journal: Path,
) -> None:
    """Send load to the installation that KUBECONFIG names, on whatever nodes it has.

    Sessions of the load are removed at the end, also those that an earlier, killed one left.
    """
    load = Load(Kind(kind), rate, seconds, count, seed, plain_every, plain_image)
    section = asyncio.run(run_load(Target(namespace, redis_url, redis_password, journal), load))
    show(make_console(), f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", [section], [])


@main.command("stand-in")
@click.option("--namespace", default="agents", show_default=True, help="Where run pods are.")
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="For pods' tokens.")
@click.option("--journal", type=click.Path(path_type=Path), required=True, help="A line per pod.")
@click.option("--think-seconds", default=0.2, show_default=True, help="From a turn to its answer.")
def stand_in(namespace: str, folder: Path, journal: Path, think_seconds: float) -> None:
    """Be kubelet and runner of the run pods in the cluster that KUBECONFIG names.

    For pods on nodes that kwok plays. Real nodes' pods have a runner of their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    settings = StandInSettings(namespace, folder, think_seconds)
    asyncio.run(_stand_in(settings, Journal(journal)))


async def _stand_in(settings: StandInSettings, journal: Journal) -> None:
    async with kube.connect("sessionload-stand-in") as client:
        work = asyncio.create_task(StandIn(Api(client), settings, journal).run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, work.cancel)
        try:
            await work
        except asyncio.CancelledError:
            return
        finally:
            journal.close()
