"""`make chaos`."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from chaos.report import Report, as_json, as_markdown, as_table
from chaos.run import Wish, run_chaos
from chaos.schedule import Fault
from localcluster.settings import load_settings


@click.command()
@click.option("--seed", envvar="SEED", type=int, help="The same faults and messages again.")
@click.option("--minutes", envvar="MINUTES", default=30.0, show_default=True, type=float)
@click.option("--sessions", envvar="SESSIONS", default=10, show_default=True, type=int)
@click.option("--faults", envvar="FAULTS", default=1100, show_default=True, type=int)
@click.option("--kinds", envvar="KINDS", default="", help="Only these, e.g. redis-kill,api-429.")
@click.option("--operators", envvar="OPERATORS", default=1, show_default=True, type=int)
@click.option("--localkube", envvar="LOCALKUBE_BINARY", default="", help="The cluster's program.")
@click.option("--report", "stem", default=".build/chaos", show_default=True, type=Path)
def main(
    seed: int | None,
    minutes: float,
    sessions: int,
    faults: int,
    kinds: str,
    operators: int,
    localkube: str,
    stem: Path,
) -> None:
    """Break everything under steady traffic and check that nothing was lost or done twice."""
    chosen = seed if seed is not None else int(time.time())
    known = tuple(Fault(kind) for kind in kinds.split(",")) if kinds else tuple(Fault)
    console = Console()
    console.print(f"seed {chosen}: {faults} faults in {minutes:g} minutes, {sessions} sessions")
    # The proxy's cut watches are meant: its server would print each as an error.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    wish = Wish(chosen, minutes, sessions, faults, known, operators)
    report = asyncio.run(run_chaos(wish, folder / "run", localkube or _program()))
    _write(report, stem)
    console.print(as_table(report))
    for evidence in report.evidence:
        console.print(evidence, markup=False, highlight=False)
    console.print(f"logs: {folder / 'run' / 'logs'}; report: {stem}.md, {stem}.json")
    if not report.holds:
        raise click.ClickException(
            f"{len(report.violations)} invariants broken; the same again: SEED={chosen} make chaos"
        )


def _program() -> str:
    """The program of the local cluster that `make cluster` has built."""
    clone = Path(__file__).resolve().parents[3]
    return str((load_settings(os.environ, clone).paths.bin / "kubectl").resolve())


def _write(report: Report, stem: Path) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_text(as_json(report), encoding="utf-8")
    stem.with_suffix(".md").write_text(as_markdown(report), encoding="utf-8")
