from __future__ import annotations

from sessionload.windows import windows


def test_values_go_into_the_window_in_which_they_began() -> None:
    found = windows([(0.0, 1.0), (9.9, 3.0), (10.0, 5.0), (35.0, 7.0)], seconds=10)
    assert [(window.start, window.n, window.p50, window.max) for window in found] == [
        (0, 2, 2.0, 3.0),
        (10, 1, 5.0, 5.0),
        (30, 1, 7.0, 7.0),
    ]


def test_the_p99_of_a_window_is_near_its_largest_values() -> None:
    (window,) = windows([(0.0, float(value)) for value in range(101)], seconds=10)
    assert (window.p50, window.p95, window.p99) == (50.0, 95.0, 99.0)


def test_no_samples_are_no_windows() -> None:
    assert windows([]) == []
