"""Figures, their targets and what is said when one is missed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from workbench.bench.statistics import Summary, summarise

NAMED_STAGES = 2
# What happened when in one round: a mark's key to Unix seconds, None where it was not seen.
Marks = Mapping[str, float | None]


class Unit(StrEnum):
    """What a figure's values are."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MEBIBYTES = "MiB"
    KIBIBYTES = "KiB"
    PERCENT = "%"
    PER_SECOND = "/s"
    COUNT = ""


class Statistic(StrEnum):
    """The number of a summary that a target speaks of."""

    P50 = "p50"
    P95 = "p95"
    MAX = "max"


@dataclass(frozen=True)
class Target:
    """`at_most` is in the figure's unit."""

    at_most: float
    statistic: Statistic = Statistic.P50


@dataclass(frozen=True)
class Stage:
    """One part of the way that a figure measures; a value per round, in the figure's unit."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Figure:
    """A row of values. `key` is its name in the JSON report and never changes.

    `stages` are shown below it; `bounds` are the stages that a missed target is explained with, where
    they are others.
    """

    key: str
    title: str
    unit: Unit
    values: tuple[float, ...]
    target: Target | None = None
    stages: tuple[Stage, ...] = ()
    bounds: tuple[Stage, ...] = ()

    @property
    def summary(self) -> Summary:
        return summarise(self.values)


@dataclass(frozen=True)
class Section:
    """What one measurement found, with what a reader has to know about it."""

    title: str
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """How a figure stands to its target."""

    met: bool
    measured: float
    bound_by: tuple[Stage, ...]


def judge(figure: Figure) -> Verdict | None:
    """Whether the target is met, and by which stages the figure is bounded; None without target."""
    if figure.target is None:
        return None
    measured = float(getattr(figure.summary, figure.target.statistic))
    longest = sorted(figure.bounds or figure.stages, key=lambda stage: -summarise(stage.values).p50)
    return Verdict(measured <= figure.target.at_most, measured, tuple(longest[:NAMED_STAGES]))


def spans(rounds: Sequence[Marks], begin: str, end: str) -> tuple[float, ...]:
    """Seconds between two marks in each round. Raises ValueError when a round lacks one."""
    found = []
    for marks in rounds:
        first, last = marks.get(begin), marks.get(end)
        if first is None or last is None:
            raise ValueError(f"{begin if first is None else end!r} was not seen in some round")
        found.append(last - first)
    return tuple(found)


def chain(rounds: Sequence[Marks], labels: Mapping[str, str]) -> tuple[Stage, ...]:
    """The stages between neighbouring marks.

    `rounds` holds each round's marks (key to Unix seconds), `labels` what the marks are called, in
    the order of the way. A mark that some round does not have is left out of all: its neighbours
    then lie in one stage.
    """
    known = [key for key in labels if all(marks.get(key) is not None for marks in rounds)]
    return tuple(
        Stage(f"{labels[before]} → {labels[after]}", spans(rounds, before, after))
        for before, after in pairwise(known)
    )
