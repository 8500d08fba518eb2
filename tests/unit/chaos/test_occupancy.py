"""Whether two pods were on one workspace at once."""

from __future__ import annotations

import pytest

from chaos.occupancy import Occupancy, Stay


@pytest.fixture
def overlaps() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def occupancy(overlaps: list[tuple[str, str]]) -> Occupancy:
    return Occupancy(lambda workspace, what: overlaps.append((workspace, what)))


def test_one_after_the_other_is_no_overlap(
    occupancy: Occupancy, overlaps: list[tuple[str, str]]
) -> None:
    occupancy.enter("w", "a", "job-1", 1.0)
    occupancy.leave("w", "a", 2.0)
    occupancy.enter("w", "b", "job-2", 2.0)
    occupancy.enter("other", "c", "job-3", 2.5)
    assert overlaps == []
    assert occupancy.stays["w"] == [Stay("a", 1.0, 2.0), Stay("b", 2.0)]


def test_two_at_once_are_told(occupancy: Occupancy, overlaps: list[tuple[str, str]]) -> None:
    occupancy.enter("w", "a", "job-1", 1.0)
    occupancy.enter("w", "b", "job-2", 2.0)
    assert overlaps == [("w", "b started while a ran")]
    occupancy.leave("w", "a", 3.0)
    occupancy.leave("w", "b", 4.0)
    assert occupancy.stays["w"] == [Stay("a", 1.0, 3.0), Stay("b", 2.0, 4.0)]


def test_a_second_pod_of_a_job_is_the_job_controllers(
    occupancy: Occupancy, overlaps: list[tuple[str, str]]
) -> None:
    occupancy.enter("w", "a", "job-1", 1.0)
    occupancy.enter("w", "b", "job-1", 2.0)
    assert overlaps == []
    assert occupancy.replacements == ["b started while a ran"]
