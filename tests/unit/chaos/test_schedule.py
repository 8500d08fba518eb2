"""Which faults a seed gives."""

from __future__ import annotations

from collections import Counter

from chaos.schedule import Fault, make_schedule

KINDS = tuple(Fault)


def test_the_same_seed_gives_the_same_faults() -> None:
    assert make_schedule(7, 60, 40, KINDS, 3) == make_schedule(7, 60, 40, KINDS, 3)
    assert make_schedule(7, 60, 40, KINDS, 3) != make_schedule(8, 60, 40, KINDS, 3)


def test_a_full_run_has_thirty_of_each_kind() -> None:
    counted = Counter(planned.fault for planned in make_schedule(1, 1800, 1000, KINDS, 30))
    assert counted.total() == 1000
    assert min(counted[kind] for kind in KINDS) >= 30


def test_a_short_run_has_every_kind_that_fits() -> None:
    counted = Counter(planned.fault for planned in make_schedule(1, 60, len(KINDS), KINDS, 30))
    assert set(counted.values()) == {1}


def test_faults_are_spread_over_the_time_in_order() -> None:
    moments = [planned.at for planned in make_schedule(3, 100, 50, KINDS, 1)]
    assert moments == sorted(moments)
    assert moments[0] >= 0
    assert moments[-1] < 100
