from __future__ import annotations

import itertools

import pytest

from sessionload.arrivals import burst, poisson, poisson_count


def test_a_seed_gives_the_same_moments_again_and_another_one_others() -> None:
    assert poisson(5, 60, seed=7) == poisson(5, 60, seed=7)
    assert poisson(5, 60, seed=7) != poisson(5, 60, seed=8)


def test_poisson_moments_lie_in_order_within_their_time_and_come_at_their_rate() -> None:
    moments = poisson(20, 500, seed=1)
    assert moments == sorted(moments)
    assert moments[0] > 0
    assert moments[-1] < 500
    # The standard deviation of the number is its root: 100.
    assert abs(len(moments) - 10_000) < 400


def test_the_gaps_of_poisson_moments_vary_as_much_as_they_are_long() -> None:
    moments = poisson(20, 500, seed=1)
    gaps = [b - a for a, b in itertools.pairwise(moments)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.1)


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_that_is_not_positive_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="a rate is more than 0"):
        poisson(rate, 10, seed=1)


def test_a_counted_poisson_has_exactly_its_number() -> None:
    moments = poisson_count(1000, 600, seed=3)
    assert len(moments) == 1000
    assert moments == sorted(moments)
    assert moments[0] >= 0
    assert moments[-1] <= 600


def test_a_burst_is_all_at_once() -> None:
    assert burst(3) == [0.0, 0.0, 0.0]
