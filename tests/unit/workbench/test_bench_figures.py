from __future__ import annotations

import pytest

from workbench.bench.figures import (
    Figure,
    Stage,
    Statistic,
    Target,
    Unit,
    chain,
    judge,
    spans,
)
from workbench.bench.statistics import differences, percentile, summarise


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([5.0], 0.95, 5.0),
        ([1.0, 2.0], 0.5, 1.5),
        ([3.0, 1.0, 2.0], 0.0, 1.0),
        ([3.0, 1.0, 2.0], 1.0, 3.0),
        ([float(n) for n in range(101)], 0.95, 95.0),
        ([0.0, 10.0], 0.95, 9.5),
    ],
)
def test_percentile(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == pytest.approx(expected)


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], -0.1), ([1.0], 1.1)])
def test_percentile_of_nothing_or_of_no_share(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match=r"no values|a share"):
        percentile(values, share)


def test_summary() -> None:
    seen = summarise([4.0, 1.0, 2.0, 3.0])
    assert (seen.n, seen.min, seen.p50, seen.max) == (4, 1.0, 2.5, 4.0)
    assert seen.p95 == pytest.approx(3.85)


def test_differences_are_of_pairs() -> None:
    assert differences([3.0, 5.0], [1.0, 6.0]) == (2.0, -1.0)
    with pytest.raises(ValueError, match="zip"):
        differences([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("target", "met", "measured"),
    [
        (Target(2.0), True, 2.0),
        (Target(1.9), False, 2.0),
        (Target(2.9, Statistic.MAX), False, 3.0),
        (Target(3.0, Statistic.MAX), True, 3.0),
    ],
)
def test_a_target_is_met_at_its_own_value(target: Target, met: bool, measured: float) -> None:
    verdict = judge(Figure("k", "t", Unit.SECONDS, (1.0, 2.0, 3.0), target))
    assert verdict is not None
    assert (verdict.met, verdict.measured) == (met, measured)


def test_a_figure_without_target_is_not_judged() -> None:
    assert judge(Figure("k", "t", Unit.SECONDS, (1.0,))) is None


def test_a_missed_target_names_its_longest_stages() -> None:
    stages = tuple(
        Stage(name, (value,)) for name, value in [("a", 0.1), ("b", 0.7), ("c", 0.3), ("d", -1)]
    )
    figure = Figure("k", "t", Unit.SECONDS, (9.0,), Target(1.0), stages)
    verdict = judge(figure)
    assert verdict is not None
    assert [stage.name for stage in verdict.bound_by] == ["b", "c"]
    bounded = Figure("k", "t", Unit.SECONDS, (9.0,), Target(1.0), stages, bounds=stages[:1])
    verdict = judge(bounded)
    assert verdict is not None
    assert [stage.name for stage in verdict.bound_by] == ["a"]


LABELS = {"sent": "sent", "stored": "stored", "made": "made", "seen": "seen"}


def test_stages_lie_between_neighbouring_marks() -> None:
    rounds = [
        {"sent": 1.0, "stored": 2.0, "made": 4.0, "seen": 7.0},
        {"sent": 10.0, "stored": 10.5, "made": 11.5, "seen": 13.0},
    ]
    assert chain(rounds, LABELS) == (
        Stage("sent → stored", (1.0, 0.5)),
        Stage("stored → made", (2.0, 1.0)),
        Stage("made → seen", (3.0, 1.5)),
    )


def test_a_mark_that_one_round_lacks_joins_its_neighbours_in_all() -> None:
    rounds: list[dict[str, float | None]] = [
        {"sent": 1.0, "stored": 2.0, "made": None, "seen": 7.0},
        {"sent": 10.0, "stored": 10.5, "made": 11.5, "seen": 13.0},
    ]
    stages = chain(rounds, LABELS)
    assert [stage.name for stage in stages] == ["sent → stored", "stored → seen"]
    assert stages[1].values == (5.0, 2.5)


def test_what_was_not_seen_is_no_zero() -> None:
    with pytest.raises(ValueError, match="'made' was not seen"):
        spans([{"sent": 1.0, "made": None}], "sent", "made")
    with pytest.raises(ValueError, match="'sent' was not seen"):
        spans([{"made": 1.0}], "sent", "made")
